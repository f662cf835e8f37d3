"""What uses sockets, signals or processes, many times in a row while other work keeps every core busy: `make busy`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_TESTS = (
    *("tests/command", "tests/matrix", "tests/support", "tests/transport", "tests/cloud"),
    "tests/test_session_cancellation.py",
)
# It ends with whoever started it, also when that was killed.
_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    pass"


def main(rounds: int, arguments: list[str]) -> int:
    """Run the tests so many times, with more arguments of pytest; the exit code of the first round that fails, or 0."""
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(os.cpu_count() or 1)]
    try:
        tests = [sys.executable, "-m", "pytest", "-q", *_TESTS, *arguments]
        return next((code for _ in range(rounds) if (code := subprocess.call(tests, cwd=_ROOT))), 0)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
