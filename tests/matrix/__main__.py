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
HERE = Path(__file__).resolve().parent
SECONDS = 300.0


def run(environment: Path, loop: str) -> tuple[str, str]:
    """One cell: its line, and what it said if it failed."""
    begun = time.monotonic()
    done = subprocess.run(
        [environment / "bin" / "python", "-m", "pytest", "-q", "--confcutdir", HERE, "-p", "no:cacheprovider", HERE],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, cwd=HERE.parent.parent,
        env=os.environ | {"SDRS_TEST_LOOP": loop, "SDRS_TEST_ENVIRONMENT": environment.name},
    )  # fmt: skip
    said = done.stdout.strip().splitlines() or ["said nothing"]
    line = f"{environment.name:8} {loop:8} {time.monotonic() - begun:5.1f} s  {said[-1].strip('= ')}"
    return line, "" if done.returncode == 0 else done.stdout


def main(folder: Path) -> int:
    """All cells, two at a time."""
    environments = sorted(stamp.parent for stamp in folder.glob("*/.stamp"))
    failed = []
    with ThreadPoolExecutor(AT_ONCE) as cells:
        for line, said in cells.map(lambda cell: run(*cell), product(environments, LOOPS)):
            print(line, flush=True)
            failed += [f"\n==== {line}\n{said}"] if said else []
    print(*failed, sep="", end="")
    return 1 if failed or not environments else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
