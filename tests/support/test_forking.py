"""Runs of the command that are forked: they leave what a process of their own leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.command import finished, process
from tests.support.forking import FORKS, Stem

pytestmark = pytest.mark.skipif(not FORKS, reason="needs a system where a process with loaded libraries may fork")


@pytest.fixture
def stem() -> Iterator[Stem]:
    """One of its own, that a test may harm."""
    made = Stem()
    yield made
    made.stop()


async def test_a_fork_leaves_what_a_process_leaves(stem: Stem) -> None:
    """Exit code, stdout and stderr are the same, and its own variables and stdin are what it sees."""
    args = ["clean", "--targets", "-", "--any-ids", "--endpoint", "http://127.0.0.1:9", "--dry-run"]
    targets = b"p/g1\np/g2\np/g1\n"
    async with process(*args, token="a-token") as command:
        expected = await finished(command, targets)
    assert (expected.code, "of 2 protection groups in 1 project" in expected.stdout) == (0, True)
    given = dict(os.environ)
    assert await stem.run(args, given | {"OS_TOKEN": "a-token"}, targets) == expected
    refused = await stem.run(args, given, targets)
    assert (refused.code, refused.stdout) == (2, "")
    assert "OS_TOKEN is not set" in refused.stderr


async def test_a_fork_that_takes_too_long_is_killed(stem: Stem) -> None:
    """The test fails with a time-out, nothing is left behind, and the next run is as good as any."""
    with pytest.raises(TimeoutError):
        await stem.run(["simulate"], os.environ, b"", seconds=0.2)
    assert (await stem.run(["--version"], os.environ, b"")).code == 0
