"""The examples run offline, as a user would start them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))
SAYS = {
    "01_first_run.py": ["left on the server: 0", "'planned': 20, 'done': 20"],
    "02_web_application.py": ["120 of 120 groups", "left on the server: 0"],
    "03_targets_from_csv.py": ["'planned': 15, 'done': 15", "target number 16: server_group_id 'batch' is refused"],
    "04_find_and_clean.py": ["eu-de: 20 groups", "left on the servers: 0", "'planned': 73, 'done': 73"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_says_what_it_promises(path: Path) -> None:
    """Each example ends well, without a warning, and prints its result."""
    done = subprocess.run(
        [sys.executable, "-W", "error", path], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    for words in SAYS[path.name]:
        assert words in done.stdout
