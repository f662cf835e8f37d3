"""How much of a rate limit is used, and how often it is broken: `clean()` beside the limiter one writes first.

    python -m benchmarks.pacing [--rates 10/s 50/s] [--projects N] [--seconds S] [--rounds N]

The simulator runs in a process of its own, enforces the limit in a sliding window per project, answers after a constant
20 ms and keeps the log that everything is read from. *share* is the part of the limit that deleted something in the
whole windows after each project's first one; *429s* are refusals; *most* is the largest number in any window.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.nginx import CLIENT_CPU, SERVER_CPU, cpu_model, pin
from sdrs_async import Limits, Rate, StaticToken, clean

LATENCY = 0.02
CONTENDERS = ("clean()", "AsyncLimiter")
Groups = dict[str, list[str]]


@contextmanager
def simulator(projects: int, groups: int, rate: str) -> Iterator[tuple[str, str]]:
    """The simulator as a process on a processor of its own; yields its URL and token."""
    command = [sys.executable, "-m", "sdrs_async", "simulate", "--projects", str(projects), "--groups", str(groups)]
    command += ["--failed-tasks", "1", "--latency", str(LATENCY), "--project-rate", rate]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        pin(SERVER_CPU, process.pid)
        lines = [line.strip() for line in iter(process.stdout.readline, "\n")]
        exports = dict(line.removeprefix("export ").split("=", 1) for line in lines[1:])
        yield lines[0], exports["OS_TOKEN"]
    finally:
        process.terminate()
        process.wait(10)


async def with_clean(url: str, token: str, groups: Groups, rate: str) -> None:
    """Our engine, told the limit."""
    limits = Limits(rate, None, None, None, 128)
    await clean(groups, endpoint=url, auth=StaticToken(token), limits=limits)


async def with_limiter(url: str, token: str, groups: Groups, rate: str) -> None:
    """One AsyncLimiter and one task per group: the obvious design, without retries."""
    parsed = Rate.parse(rate)
    assert parsed is not None
    slots = asyncio.Semaphore(128)

    async def delete(session: aiohttp.ClientSession, limiter: AsyncLimiter, project: str, group: str) -> None:
        path = f"{url}/v1/{project}/task-center/{group}/failure-jobs/batch"
        async with limiter, slots, session.delete(path, headers={"X-Auth-Token": token}):
            pass

    connector = aiohttp.TCPConnector(limit=128)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
        for project, ids in groups.items():
            limiter = AsyncLimiter(parsed.count, parsed.per)
            for group in ids:
                tasks.create_task(delete(session, limiter, project, group))


def child(name: str, url: str, token: str, groups: Groups, rate: str) -> None:
    """One run in this process, on a processor of its own; prints its figures as JSON."""
    pin(CLIENT_CPU)
    run = with_clean if name == CONTENDERS[0] else with_limiter
    started, used = time.perf_counter(), time.process_time()
    asyncio.run(run(url, token, groups, rate))
    wall = time.perf_counter() - started
    print(json.dumps({"wall": wall, "busy": (time.process_time() - used) / wall}))


def measure(name: str, url: str, token: str, groups: Groups, rate: str) -> dict[str, float]:
    """One run by a child process, and what the server's log says of it."""
    urlopen(Request(f"{url}/simulator/reset", method="POST")).close()
    command = [sys.executable, "-m", "benchmarks.pacing", "--child", name, url, rate]
    environment = {**os.environ, "OS_TOKEN": token}
    done = subprocess.run(
        command, input=json.dumps(groups), env=environment, check=True, capture_output=True, text=True
    )
    with urlopen(f"{url}/simulator/log") as answer:
        entries = [json.loads(line) for line in answer]
    return {**json.loads(done.stdout), **read_log(entries, rate)}


def read_log(entries: list[dict[str, Any]], rate: str) -> dict[str, float]:
    """Share, refusals and the fullest window, over all projects."""
    parsed = Rate.parse(rate)
    assert parsed is not None
    arrivals: dict[str, list[float]] = defaultdict(list)
    accepted: dict[str, list[float]] = defaultdict(list)
    for entry in entries:
        arrivals[entry["project_id"]].append(entry["at"])
        if entry["status"] == 204:
            accepted[entry["project_id"]].append(entry["at"])
    used = possible = 0.0
    most = 0
    for project, times in arrivals.items():
        begin = times[0] + parsed.per
        whole = int((times[-1] - begin) / parsed.per)
        used += sum(begin <= at < begin + whole * parsed.per for at in accepted[project])
        possible += whole * parsed.count
        first = 0
        for last, at in enumerate(times):
            while at - times[first] >= parsed.per:
                first += 1
            most = max(most, last - first + 1)
    refused = sum(entry["status"] == 429 for entry in entries)
    return {"share": used / possible, "429s": refused / len(entries), "most": most}


def project_groups(url: str, token: str) -> Groups:
    """The simulated fleet, asked of its own API."""
    headers = {"X-Auth-Token": token}

    def get(path: str) -> Any:
        with urlopen(Request(url + path, headers=headers)) as answer:
            return json.load(answer)

    projects = [project["id"] for project in get("/v3/auth/projects")["projects"]]
    return {
        project: [group["id"] for group in get(f"/v1/{project}/server-groups?limit=999")["server_groups"]]
        for project in projects
    }


def main() -> None:
    """Parse the arguments, run the rounds for each rate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", nargs="+", default=["10/s", "50/s"])
    parser.add_argument("--projects", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10, help="about how long a run takes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, metavar=("NAME", "URL", "RATE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, url, rate = arguments.child
        child(name, url, os.environ["OS_TOKEN"], json.load(sys.stdin), rate)
        return
    print(f"{cpu_model()}, Python {sys.version.split()[0]}, aiohttp {aiohttp.__version__}, asyncio")
    print(
        f"{arguments.projects} projects, {LATENCY * 1000:.0f} ms, medians of {arguments.rounds} rounds (most: maximum)"
    )
    print(f"{'':16}{'rate':>8}{'share':>8}{'429s':>8}{'most':>6}{'client':>8}")
    for rate in arguments.rates:
        print_rate(rate, arguments)


def print_rate(rate: str, arguments: argparse.Namespace) -> None:
    """The rows of one rate."""
    parsed = Rate.parse(rate)
    assert parsed is not None
    groups = round(parsed.count / parsed.per * arguments.seconds)
    with simulator(arguments.projects, groups, rate) as (url, token):
        fleet = project_groups(url, token)
        rounds = [
            {name: measure(name, url, token, fleet, rate) for name in CONTENDERS} for _ in range(arguments.rounds)
        ]
    for name in CONTENDERS:
        middle = {key: statistics.median(row[name][key] for row in rounds) for key in rounds[0][name]}
        most = max(row[name]["most"] for row in rounds)
        print(
            f"{name:16}{rate:>8}{middle['share']:8.3f}{middle['429s']:8.1%}{most:6.0f}{middle['busy']:8.0%}", flush=True
        )


if __name__ == "__main__":
    main()
