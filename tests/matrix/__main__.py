"""Runs `tests/matrix` in every environment that `make matrix` keeps, on both loops: `python -m tests.matrix FOLDER`.

One line per cell with its result and time, after them what those said that failed; exit code 1 then.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

LOOPS = ("asyncio", "uvloop")
AT_ONCE = 2
ROOT = Path(__file__).resolve().parent.parent.parent
TESTS = ROOT / "tests" / "matrix"
# A cell takes about 13 s. Where a run hangs each of its tests takes its whole time, and a few of them tell enough.
SECONDS = 240.0
# Its tests wait more than they compute: two at a time.
PYTEST = (
    "-m",
    "pytest",
    "-q",
    "-n",
    "2",
    "--dist",
    "worksteal",
    "--maxfail=8",
    "--tb=short",
    "-p",
    "no:cacheprovider",
    "--confcutdir",
    TESTS,
    TESTS,
)


def run(environment: Path, loop: str) -> tuple[str, str]:
    """One cell: its line, and what it said if it failed."""
    begun = time.monotonic()
    cell = subprocess.Popen(
        [environment / "bin" / "python", *PYTEST], cwd=ROOT,
        env=os.environ | {"SDRS_TEST_LOOP": loop, "SDRS_TEST_ENVIRONMENT": environment.name},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        said, _ = cell.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        cell.kill()
        said = f"{cell.communicate()[0]}\nkilled: it had not ended within {SECONDS:g} s"
    result = (said.strip().splitlines() or ["it said nothing"])[-1].strip("= ")
    line = f"{environment.name:8} {loop:8} {time.monotonic() - begun:5.1f} s  {result}"
    return line, said if cell.returncode else ""


def main(folder: Path) -> int:
    """All cells, two at a time."""
    environments = sorted(stamp.parent for stamp in folder.glob("*/.stamp"))
    failed = []
    with ThreadPoolExecutor(AT_ONCE) as cells:
        for line, said in cells.map(lambda cell: run(*cell), product(environments, LOOPS)):
            print(line, flush=True)  # noqa: T201 - it is a command
            failed += [f"\n==== {line}\n{said}"] if said else []
    print(*failed, sep="", end="")  # noqa: T201 - as above
    return 1 if failed or not environments else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
