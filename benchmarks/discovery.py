"""What finding everything costs: time, lists read and memory, for projects with many groups.

    python -m benchmarks.discovery [--projects N N ...] [--groups N]

The simulator runs in a process of its own, each number of projects in another one. *base* is the resident memory of
that process before it begins, *peak* the highest it had. Nothing is deleted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time

from benchmarks.nginx import cpu_model
from benchmarks.pacing import simulator
from sdrs_async import Account, Limits, Selection, StaticToken, connect


def peak_mib() -> float:
    """The highest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


async def find(url: str, token: str) -> dict[str, float]:
    """Find all groups of all projects."""
    base, started = peak_mib(), time.perf_counter()
    account = Account("bench", url, StaticToken(token), url, limits=Limits(None, 8, None, None, 64))
    async with connect(account) as session, session.find(Selection()) as finding:
        found = 0
        async for _ in finding:
            found += 1
    seconds = time.perf_counter() - started
    return {"found": found, "reads": finding.report.reads, "base": base, "peak": peak_mib(), "s": seconds}


def main() -> None:
    """Parse the arguments, run a process for each number of projects and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, nargs="+", default=[30, 300])
    parser.add_argument("--groups", type=int, default=1500)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(asyncio.run(find(*arguments.child))))
        return
    print(f"{cpu_model()}, Python {sys.version.split()[0]}; {arguments.groups:,} groups per project")
    print(f"{'projects':>9}{'found':>10}{'reads':>8}{'seconds':>9}{'base MiB':>10}{'peak MiB':>10}")
    for projects in arguments.projects:
        with simulator(projects, arguments.groups, "none") as (url, token):
            command = [sys.executable, "-m", "benchmarks.discovery", "--child", url, token]
            f = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{projects:9}{f['found']:10,}{f['reads']:8,}{f['s']:9.1f}{f['base']:10.1f}{f['peak']:10.1f}")


if __name__ == "__main__":
    main()
