"""How much of a rate limit is used, and how often it is broken: `clean()` beside the limiter one writes first.

    python -m benchmarks.pacing [--parts known storm told hidden] [--rounds N] [--seconds S]

The simulator runs in a process of its own, enforces the limit in a sliding window and keeps the log that everything is
read from. *share* and *steady* are the part of the limit that was used after the first window, see `share_of` and
`steady_of`; *429s* are refusals, *worst* those of the project that met most of them; *most* is the largest number in
any window. All of it is worth nothing while something else uses these processors.

- known: 50/s for each of 50 and of 20 projects, told to the client, 20 ms. Beside it an `AsyncLimiter` per project.
- storm: the same on 20 projects with 0 to 100 ms of jitter and 1 % of answers lost by a reset connection; in half of
  the runs the server closes 5 % of the connections after an answer, in the others all of them.
- told: the user may do 500/s for all of 500 projects, which the first 429 says.
- hidden: each of 20 projects may do 20/s, which nothing says; the client is configured to 50/s.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.request import urlopen

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.nginx import SERVER_CPU, cpu_model, pin
from benchmarks.processes import alone
from benchmarks.shares import most_in_window, rate_of, share_of, steady_of
from sdrs_async import Limits, StaticToken, clean
from sdrs_async.simulator import Fault, Simulator

LATENCY = 0.02
CONNECTIONS = 128
OURS, NAIVE = "clean()", "AsyncLimiter"
Groups = dict[str, list[str]]


@dataclass(frozen=True)
class Trial:
    """One limit of the server, and what the client knows of it. `by`: what it is counted by, `project_id` or `user`."""

    name: str
    projects: int
    rate: str
    limits: Limits
    server: dict[str, Any]
    by: str = "project_id"

    def groups(self, seconds: float) -> int:
        """Groups for each project, so many that a run takes about `seconds`."""
        rate, shared = rate_of(self.rate), self.projects if self.by == "user" else 1
        return math.ceil(rate.count / rate.per * seconds / shared)


class Result(NamedTuple):
    """What the server's log says of one run, and how busy the client's processor was."""

    share: float
    steady: float
    requests: int
    refused: int
    worst: int
    most: int
    busy: float


def known(projects: int, **options: Any) -> Trial:
    """50/s for each project, known to the client."""
    return Trial(f"{projects} projects", projects, "50/s", Limits("50/s", None, None, None, CONNECTIONS), options)


KNOWN = [known(50, project_rate="50/s"), known(20, project_rate="50/s")]
TOLD = Trial("500 projects", 500, "500/s", Limits("10/s", 8, None, None, 64), {"user_rate": "500/s"}, "user")
HIDDEN = Trial(
    "20 projects", 20, "20/s", Limits("50/s", None, None, None, CONNECTIONS), {"project_rate": "20/s", "hidden": True}
)


def storm(seed: int) -> Trial:
    """A run of its own for each seed, with connections that end now and then, or each after its first answer."""
    faults = ["reset-after=1%", f"close={99 if seed % 2 else 5}%"]
    return known(20, project_rate="50/s", jitter=0.1, seed=seed, faults=faults)


# ---- the server ------------------------------------------------------------------------------------------------------


def serve(options: dict[str, Any]) -> None:
    """Be the server until this process is ended; the first line on stdout is its URL and token as JSON."""
    gc.disable()  # its log grows to 100,000 entries: looking through them would be a pause that no network makes

    async def run() -> None:
        faults = [Fault.parse(text) for text in options.pop("faults", ())]
        async with Simulator(failed_tasks=1, faults=faults, **options) as server:
            print(json.dumps([server.url, server.token]), flush=True)
            await asyncio.get_running_loop().create_future()

    asyncio.run(run())


@contextmanager
def simulator(projects: int, groups: int, project_rate: str = "none", **options: Any) -> Iterator[tuple[str, str]]:
    """The simulator as a process on a processor of its own; yields its URL and token. `options`: its parameters."""
    given = {"projects": projects, "groups": groups, "project_rate": project_rate, "latency": LATENCY, **options}
    command = [sys.executable, "-m", "benchmarks.pacing", "--serve", json.dumps(given)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        pin(SERVER_CPU, process.pid)
        url, token = json.loads(process.stdout.readline())
        yield url, token
    finally:
        process.kill()
        process.wait(10)


# ---- the clients -----------------------------------------------------------------------------------------------------


async def with_clean(url: str, token: str, groups: Groups, trial: Trial) -> None:
    """Our engine."""
    await clean(groups, endpoint=url, auth=StaticToken(token), limits=trial.limits)


async def with_limiter(url: str, token: str, groups: Groups, trial: Trial) -> None:
    """One AsyncLimiter and one task per group: the obvious design, without retries."""
    rate = rate_of(trial.rate)
    slots = asyncio.Semaphore(CONNECTIONS)

    async def delete(session: aiohttp.ClientSession, limiter: AsyncLimiter, project: str, group: str) -> None:
        path = f"{url}/v1/{project}/task-center/{group}/failure-jobs/batch"
        async with limiter, slots, session.delete(path, headers={"X-Auth-Token": token}):
            pass

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
        for project, ids in groups.items():
            limiter = AsyncLimiter(rate.count, rate.per)
            for group in ids:
                tasks.create_task(delete(session, limiter, project, group))


def busy(name: str, url: str, token: str, groups: Groups, trial: Trial) -> float:
    """One run in this process: the part of its time in which the processor was busy with it."""
    run = with_clean if name == OURS else with_limiter
    started, used = time.perf_counter(), time.process_time()
    asyncio.run(run(url, token, groups, trial))
    return (time.process_time() - used) / (time.perf_counter() - started)


def measure(name: str, trial: Trial, seconds: float) -> Result:
    """One run against a server of its own, by a child process."""
    number = trial.groups(seconds)
    groups: Groups = defaultdict(list)
    for project, group in Simulator(projects=trial.projects, groups=number, seed=trial.server.get("seed", 0)).targets:
        groups[project].append(group)
    with simulator(trial.projects, number, **trial.server) as (url, token):
        part = alone(busy, name, url, token, dict(groups), trial)
        with urlopen(f"{url}/simulator/log") as answer:
            entries = [json.loads(line) for line in answer]
    return read_log(entries, trial, part)


# ---- the log ---------------------------------------------------------------------------------------------------------


def read_log(entries: list[dict[str, Any]], trial: Trial, part: float) -> Result:
    """Share, refusals and the fullest window, over all projects."""
    rate = rate_of(trial.rate)
    arrivals: dict[str, list[float]] = defaultdict(list)
    admitted: dict[str, list[float]] = defaultdict(list)
    for entry in entries:
        arrivals[entry[trial.by]].append(entry["at"])
        if entry["status"] != 429:  # what got no answer was let in as well
            admitted[entry[trial.by]].append(entry["at"])
    refused = Counter(entry["project_id"] for entry in entries if entry["status"] == 429)
    most = max(most_in_window(times, rate.per) for times in arrivals.values())
    shares = share_of(admitted.values(), rate), steady_of(admitted.values(), rate)
    return Result(*shares, len(entries), refused.total(), max(refused.values(), default=0), most, part)


# ---- the table -------------------------------------------------------------------------------------------------------


def row(name: str, trial: Trial, results: list[Result]) -> None:
    """One row: the median shares, and the worst of everything else."""
    share, steady = (statistics.median(column) for column in list(zip(*results, strict=True))[:2])
    refused = max(result.refused / result.requests for result in results)
    worst, most = max(result.worst for result in results), max(result.most for result in results)
    part = statistics.median(result.busy for result in results)
    print(
        f"{name:14}{trial.name:>14}{trial.rate:>7}{share:8.4f}{steady:8.4f}{refused:9.3%}{worst:6}{most:6}{part:7.0%}",
        flush=True,
    )


def print_known(rounds: int, seconds: float) -> None:
    """A known limit, ours and the obvious design."""
    for trial in KNOWN:
        row(OURS, trial, [measure(OURS, trial, seconds) for _ in range(rounds)])
        row(NAIVE, trial, [measure(NAIVE, trial, seconds / 2)])


def print_storm(rounds: int, seconds: float) -> None:
    """Ten runs, however many rounds of the others."""
    results = [measure(OURS, storm(seed), seconds / 4) for seed in range(10)]
    row("storm", storm(0), results)
    good = sum(not result.refused for result in results)
    shares = [result.share for result in results]
    print(
        f"{good} of {len(results)} runs without a 429, shares from {min(shares):.4f} to {max(shares):.4f}", flush=True
    )


def print_told(rounds: int, seconds: float) -> None:
    """A limit that the first 429 tells."""
    row("told", TOLD, [measure(OURS, TOLD, seconds)])


def print_hidden(rounds: int, seconds: float) -> None:
    """A limit that nothing tells, twice as long: it has to be found first."""
    row("hidden", HIDDEN, [measure(OURS, HIDDEN, 2 * seconds)])


PARTS = {"known": print_known, "storm": print_storm, "told": print_told, "hidden": print_hidden}


def main() -> None:
    """Parse the arguments and print the rows of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=24, help="about how long a run takes")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(json.loads(arguments.serve))
    else:
        print(f"{cpu_model()}, Python {sys.version.split()[0]}, aiohttp {aiohttp.__version__}, asyncio")
        print(f"{LATENCY * 1000:.0f} ms; known: medians of {arguments.rounds} rounds, of 429s and most the worst")
        print(f"{'':14}{'':>14}{'limit':>7}{'share':>8}{'steady':>8}{'429s':>9}{'worst':>6}{'most':>6}{'client':>7}")
        for part in arguments.parts:
            PARTS[part](arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
