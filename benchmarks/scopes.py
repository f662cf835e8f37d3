"""What taking a turn costs: four scopes against one `AsyncLimiter`, thousands that wait, a hundred thousand projects.

    python -m benchmarks.scopes [--parts acquire waiting size] [--rounds N]

Nothing is sent: `acquire` and `size` ask the fleet itself, on a clock that is moved by hand, so that every turn is due
when it is asked for; `waiting` is a whole run in real time whose requests are answered after 20 ms. Each figure comes
from a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import statistics
import sys
import time
import tracemalloc
from contextlib import suppress

from aiolimiter import AsyncLimiter

from benchmarks.by_hand import DELETED, LATENCY, HandClock, give_back, one_user, project, queue, target
from benchmarks.nginx import cpu_model
from benchmarks.processes import alone
from sdrs_async import Limits, RetryPolicy, Verdict
from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import READ_AHEAD, sources
from sdrs_async.engine.lanes import Job
from sdrs_async.engine.queue import Fleet
from sdrs_async.models import Call, Reply

# Every scope has a rate, and none of them is so low that a turn each 1/40 s would have to wait.
FOUR_SCOPES = Limits("50/s", 64, "500/s", "1000/s", 64)
BATCH, STEP, REST = 40, 1 / 40, 5.0
TURNS, WAITING = 20_000, 5_000


# ---- an uncontended acquire ------------------------------------------------------------------------------------------


def acquire_limiter(turns: int) -> float:
    """Seconds for one `AsyncLimiter.acquire` that never waits."""

    async def acquire() -> float:
        limiter = AsyncLimiter(10 * turns, 1)
        started = time.perf_counter()
        for _ in range(turns):
            await limiter.acquire()
        return (time.perf_counter() - started) / turns

    return asyncio.run(acquire())


def acquire_scopes(turns: int, waiting: int) -> tuple[float, float]:
    """Seconds for one turn in all four scopes, and for giving it back; every one is due when it is asked for.

    `waiting`: how many more of the project wait behind it; with none nobody competes for anything.
    """
    taken = left = 0.0
    clock = HandClock()
    fleet, user = one_user(FOUR_SCOPES)
    queue(fleet, user, 1, waiting, clock.now)
    fleet.lane(project(0), user).record.note(DELETED)
    for _ in range(turns // BATCH):
        clock.now += REST
        jobs = []
        for _ in range(BATCH):
            clock.now += STEP
            queue(fleet, user, 1, 1, clock.now)
            started = time.perf_counter()
            job = fleet.take(clock.now)
            taken += time.perf_counter() - started
            assert job is not None
            jobs.append(job)
        started = time.perf_counter()
        for job in jobs:
            give_back(fleet, job, clock.now)
        left += time.perf_counter() - started
    return taken / turns - reading_the_clock(turns), left / turns


def reading_the_clock(times: int) -> float:
    """Seconds that are measured where nothing is."""
    nothing = 0.0
    for _ in range(times):
        started = time.perf_counter()
        nothing += time.perf_counter() - started
    return nothing / times


def print_acquire(rounds: int) -> None:
    """The rows of an acquire, medians of rounds side by side."""
    rows = [alone(acquire_round, TURNS) for _ in range(rounds)]
    ratios = [[seconds / row[0] for seconds in row] for row in rows]
    names = (
        *("an uncontended AsyncLimiter.acquire", "an uncontended turn in all four scopes", "giving it back"),
        *("a turn with others of its project behind it", "giving it back"),
    )
    for name, seconds, ratio in zip(names, zip(*rows, strict=True), zip(*ratios, strict=True), strict=True):
        print_row(name, statistics.median(seconds) * 1e6, "us", statistics.median(ratio))


def acquire_round(turns: int) -> tuple[float, ...]:
    """One after the other in one process, so that all of them meet the same moment of the machine."""
    return acquire_limiter(turns), *acquire_scopes(turns, 0), *acquire_scopes(turns, 1)


def print_row(name: str, number: float, unit: str, ratio: float | None = None) -> None:
    """One figure; `ratio`: of the first row it is to be held against."""
    times = "" if ratio is None else f"{ratio:8.2f} times that"
    print(f"{name:56}{number:10,.2f} {unit}{times}", flush=True)


# ---- thousands that wait ---------------------------------------------------------------------------------------------


def wait(projects: int, user_rate: str, seconds: float) -> tuple[float, int]:
    """Processor time of so many seconds of a run whose projects wait for their user's turn, and what it sent then."""

    async def run() -> tuple[float, int]:
        sent = 0

        async def send(call: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
            nonlocal sent
            sent += 1
            await asyncio.sleep(LATENCY)
            return Reply(Verdict.DELETED, 204, elapsed=LATENCY)

        fleet = Fleet(64)
        user = fleet.user("user", "endpoint", send, Limits("10/s", 8, user_rate, "1000/s", 64))
        targets = [target(number % projects, number) for number in range(READ_AHEAD)]
        engine = Engine(fleet, lambda outcome: None, RetryPolicy())
        running = asyncio.create_task(engine.run(sources(targets, READ_AHEAD, user)))
        await asyncio.sleep(2.0)
        before, used = sent, time.process_time()
        await asyncio.sleep(seconds)
        used = time.process_time() - used
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        return used, sent - before

    return asyncio.run(run())


def idle(seconds: float) -> float:
    """Processor time of a loop in which nobody does anything."""

    async def sleep() -> float:
        used = time.process_time()
        await asyncio.sleep(seconds)
        return time.process_time() - used

    return asyncio.run(sleep())


def print_waiting(rounds: int) -> None:
    """The rows of those that wait."""
    seconds = 10.0
    print_row(f"processor time of an idle loop in {seconds:.0f} s", alone(idle, seconds) * 1e3, "ms")
    # The 300 are gone in the first second, and the next turn is 30 s after them.
    used, sent = alone(wait, WAITING, "300/30s", seconds)
    assert sent == 0
    print_row(f"with {WAITING:,} projects that wait for their user's turn", used * 1e3, "ms")
    few, many = (
        statistics.median(used / sent for used, sent in (alone(wait, n, "100/s", seconds) for _ in range(rounds)))
        for n in (50, WAITING)
    )
    print_row("a request at 100/s, while 50 projects wait", few * 1e6, "us")
    print_row(f"a request at 100/s, while {WAITING:,} projects wait", many * 1e6, "us", many / few)


# ---- a hundred thousand projects -------------------------------------------------------------------------------------


def grants(projects: int, each: int) -> float:
    """Seconds per grant, with making the projects, queueing, the turn, the answer and giving back."""
    clock = HandClock()
    started = time.perf_counter()
    settle(projects, each, clock)
    return (time.perf_counter() - started) / (projects * each)


def memory(projects: int, each: int) -> float:
    """Bytes that a fleet holds for each project, all of whose jobs are settled. Its id is not counted: a target's."""
    ids = [project(number) for number in range(projects)]
    clock = HandClock()
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    fleet = settle(projects, each, clock)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before - sum(map(sys.getsizeof, ids))
    tracemalloc.stop()
    assert sum(1 for _ in fleet.lanes()) == projects
    return held / projects


def settle(projects: int, each: int, clock: HandClock) -> Fleet:
    """A fleet whose projects have all had so many grants; each of them always has a second job that waits."""
    fleet, user = one_user(Limits("10/s", 8, "100000/s", "100000/s", 64))
    queue(fleet, user, projects, min(each, 2), clock.now)
    for more in range(each - 1, -1, -1):
        grant(fleet, projects, clock)
        if more > 1:
            queue(fleet, user, projects, 1, clock.now)
    return fleet


def grant(fleet: Fleet, turns: int, clock: HandClock) -> None:
    """So many turns, as many at a time as the fleet gives, each answered after 20 ms."""
    while turns:
        jobs: list[Job] = []
        while len(jobs) < turns and (job := fleet.take(clock.now)) is not None:
            jobs.append(job)
        turns -= len(jobs)
        due = fleet.next_due() if not jobs else math.inf
        clock.now = due if due < math.inf else clock.now + LATENCY
        for job in jobs:
            give_back(fleet, job, clock.now)


def print_size(rounds: int) -> None:
    """The rows of the sizes, one after the other in each round."""
    rows = [(alone(grants, 10_000, 10), alone(grants, 100_000, 10)) for _ in range(rounds)]
    few, many = (statistics.median(column) * 1e6 for column in zip(*rows, strict=True))
    ratio = statistics.median(many / few for few, many in rows)
    print_row("10^5 grants over 10^4 projects, each", few, "us")
    print_row("10^6 grants over 10^5 projects, each", many, "us", ratio)
    print_row("a project that has had 10 grants", alone(memory, 10_000, 10), "bytes")


PARTS = {"acquire": print_acquire, "waiting": print_waiting, "size": print_size}


def main() -> None:
    """Parse the arguments and print the rows of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{cpu_model()}, Python {sys.version.split()[0]}, medians of {arguments.rounds} rounds")
    for part in arguments.parts:
        PARTS[part](arguments.rounds)


if __name__ == "__main__":
    main()
