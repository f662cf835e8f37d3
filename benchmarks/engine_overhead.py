"""What the engine costs: with everything on, beside a bare aiohttp worker loop and a naive gather, interleaved.

    python -m benchmarks.engine_overhead [--requests N] [--rounds N] [--uvloop]

Every run is a process of its own and deletes the same targets with 64 requests in flight from an nginx that answers
204, after 1,000 requests that are not counted. Figures are medians over the rounds; ratios are taken round by round.
They count only where the client is the bottleneck: nginx's own share of its processor is printed, and must stay below
the client's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import aiohttp

from benchmarks.nginx import CLIENT_CPU, Server, cpu_model, nginx, pin
from sdrs_async import Limits, StaticToken, Target, clean, stream
from sdrs_async.report import failure_line

CONCURRENCY = 64
WARM_UP = 1000
PROJECTS = 100
TOKEN = "token-of-the-benchmark"
# High enough to hold nothing back, so that every gate, window and bucket is at work.
LIMITS = Limits("100000/s", CONCURRENCY, "1000000/s", "1000000/s", CONCURRENCY)


def targets(count: int) -> Iterator[Target]:
    """`count` targets over 100 projects, in the order of a list sorted by group."""
    for number in range(count):
        yield Target(f"{number % PROJECTS:032x}", f"{number:08x}-87fe-403a-8721-037a1a45c287")


def _url(base: str, target: Target) -> str:
    return f"{base}/v1/{target.project_id}/task-center/{target.server_group_id}/failure-jobs/batch"


async def bare_loop(base: str, count: int) -> None:
    """64 workers over one iterator on aiohttp's default session: nothing but requests."""
    left = targets(count)

    async def work(session: aiohttp.ClientSession) -> None:
        for target in left:
            async with session.delete(_url(base, target), headers={"X-Auth-Token": TOKEN}) as response:
                if response.status != 204:
                    raise RuntimeError(f"unexpected answer {response.status}")

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(work(session))


async def naive_gather(base: str, count: int) -> None:
    """What one writes in five minutes: a task per target, a semaphore, a gather."""
    slots = asyncio.Semaphore(CONCURRENCY)

    async def delete(session: aiohttp.ClientSession, target: Target) -> int:
        async with slots, session.delete(_url(base, target), headers={"X-Auth-Token": TOKEN}) as response:
            return response.status

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(delete(session, target) for target in targets(count)))


async def engine_clean(base: str, count: int) -> None:
    """`clean()` with pacing, retry, time-outs and report."""
    report = await clean(targets(count), endpoint=base, auth=StaticToken(TOKEN), limits=LIMITS)
    if report.to_dict()["targets"]["done"] != count:
        raise RuntimeError("the run is not clean")


async def engine_stream(base: str, count: int) -> None:
    """`stream()`: all of that, and each outcome handed out."""
    seen = 0
    async with stream(targets(count), endpoint=base, auth=StaticToken(TOKEN), limits=LIMITS) as run:
        async for _ in run:
            seen += 1
    if run.report.to_dict()["targets"]["done"] != seen or seen != count:
        raise RuntimeError("the run is not clean")


async def engine_results(base: str, count: int) -> None:
    """`stream()`, and a line of JSON in a file for each outcome, as the command's --results writes it."""
    with tempfile.TemporaryFile("w") as results:
        async with stream(targets(count), endpoint=base, auth=StaticToken(TOKEN), limits=LIMITS) as run:
            async for outcome in run:
                results.write(json.dumps(failure_line(outcome)) + "\n")
    if run.report.to_dict()["targets"]["done"] != count:
        raise RuntimeError("the run is not clean")


CONTENDERS: dict[str, Callable[[str, int], Coroutine[Any, Any, None]]] = {
    "bare loop": bare_loop,
    "naive gather": naive_gather,
    "clean()": engine_clean,
    "stream()": engine_stream,
    "and results": engine_results,
}


def measure(name: str, base: str, count: int, *, uvloop: bool) -> dict[str, float]:
    """Run one contender in this process: requests per second and processor microseconds per request."""
    pin(CLIENT_CPU)
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if uvloop:
        import uvloop as fast

        loop_factory = fast.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(CONTENDERS[name](base, WARM_UP))
        started, used = time.perf_counter(), time.process_time()
        runner.run(CONTENDERS[name](base, count))
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    return {"per_s": count / wall, "cpu_us": cpu / count * 1e6, "busy": cpu / wall}


def in_child(name: str, server: Server, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure one contender in a process of its own, and what nginx used meanwhile."""
    command = [sys.executable, "-m", "benchmarks.engine_overhead", "--child", name, server.url]
    command += ["--requests", str(arguments.requests)] + (["--uvloop"] if arguments.uvloop else [])
    before, started = server.cpu(), time.perf_counter()
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    figures["nginx"] = (server.cpu() - before) / (time.perf_counter() - started)
    return figures


def in_turn(number: int) -> list[str]:
    """The contenders of a round, another one first each time: whoever starts has the machine at its coolest."""
    names = list(CONTENDERS)
    start = number % len(names)
    return names[start:] + names[:start]


def main() -> None:
    """Parse the arguments, run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, url = arguments.child
        print(json.dumps(measure(name, url, arguments.requests, uvloop=arguments.uvloop)))
        return
    with nginx() as server:
        rounds = [
            {name: in_child(name, server, arguments) for name in in_turn(number)} for number in range(arguments.rounds)
        ]
    print_table(rounds, arguments)


def print_table(rounds: list[dict[str, dict[str, float]]], arguments: argparse.Namespace) -> None:
    """One row per contender: medians, and the ratio to the bare loop of the same round."""
    loop = "uvloop" if arguments.uvloop else "asyncio"
    print(f"{cpu_model()}, Python {sys.version.split()[0]}, aiohttp {aiohttp.__version__}, {loop}")
    print(f"{arguments.requests} requests, {CONCURRENCY} in flight, medians of {arguments.rounds} rounds")
    print(f"{'':14}{'req/s':>8}{'ratio':>8}{'CPU us/req':>12}{'client':>8}{'nginx':>8}")
    for name in CONTENDERS:
        middle = {key: statistics.median(row[name][key] for row in rounds) for key in rounds[0][name]}
        ratio = statistics.median(row[name]["per_s"] / row["bare loop"]["per_s"] for row in rounds)
        print(
            f"{name:14}{middle['per_s']:8.0f}{ratio:8.2f}{middle['cpu_us']:12.0f}"
            f"{middle['busy']:8.0%}{middle['nginx']:8.0%}"
        )
    if any(row[name]["nginx"] >= row[name]["busy"] for row in rounds for name in CONTENDERS):
        print("WARNING: nginx was the busier process in some round; these figures do not count")


if __name__ == "__main__":
    main()
