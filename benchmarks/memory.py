"""What a run holds in memory: the peak with 100,000 targets and with 1,000,000, each in a process of its own.

    python -m benchmarks.memory [--targets 100000 1000000]

The targets come from a generator over 100 projects, the service answers at once, everything else is on: pacing, retry,
duplicate window, report. What grows with the number of targets would show as a difference between the two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.nginx import cpu_model
from sdrs_async import Limits, Report, RetryPolicy, Target, Verdict
from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import READ_AHEAD, sources
from sdrs_async.engine.queue import Fleet
from sdrs_async.models import Call, Reply
from sdrs_async.report import Ledger

PROJECTS = 100
LIMITS = Limits("1000000/s", 64, "10000000/s", "10000000/s", 64)


def targets(count: int) -> Iterator[Target]:
    """`count` targets over 100 projects, made one by one."""
    for number in range(count):
        yield Target(f"{number % PROJECTS:032x}", f"{number:08x}-87fe-403a-8721-037a1a45c287")


async def run(count: int) -> Report:
    """Settle all of them by an engine whose requests are answered at the loop's next turn."""

    async def send(call: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
        await asyncio.sleep(0)
        return Reply(Verdict.DELETED, 204, elapsed=0.001)

    report = Ledger(LIMITS)
    fleet = Fleet(LIMITS.concurrency)
    user = fleet.user("user", "endpoint", send, LIMITS)
    await Engine(fleet, report.add, RetryPolicy()).run(sources(targets(count), READ_AHEAD, user))
    report.finish()
    return report


def child(count: int) -> dict[str, float]:
    """Run in this process: the peak of its resident memory in MiB, and microseconds per target."""
    started = time.process_time()
    report = asyncio.run(run(count))
    if report.to_dict()["targets"]["done"] != count:
        raise RuntimeError("the run is not clean")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return {"peak_mib": peak, "us": (time.process_time() - started) / count * 1e6}


def main() -> None:
    """Parse the arguments, run a process for each number and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child)))
        return
    print(f"{cpu_model()}, Python {sys.version.split()[0]}")
    print(f"{'targets':>10}{'peak MiB':>10}{'growth':>8}{'CPU us/target':>15}")
    first = None
    for count in arguments.targets:
        command = [sys.executable, "-m", "benchmarks.memory", "--child", str(count)]
        figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        first = first or figures["peak_mib"]
        print(f"{count:10}{figures['peak_mib']:10.1f}{figures['peak_mib'] - first:+8.1f}{figures['us']:15.1f}")


if __name__ == "__main__":
    main()
