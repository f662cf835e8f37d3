"""Runs of the command that are forked: they leave what a process of their own leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence

import pytest

from tests.support.command import STEM, Done, finished, fresh
from tests.support.forking import FORKS

pytestmark = pytest.mark.skipif(not FORKS, reason="needs a system where a process with loaded libraries may fork")


async def done(args: Sequence[str], env: Mapping[str, str], stdin: bytes = b"") -> Done:
    """What a run leaves that is forked."""
    async with STEM.process(args, env) as command:
        return await finished(command, stdin)


async def test_a_fork_leaves_what_a_process_leaves() -> None:
    """Exit code, stdout and stderr are the same, and its own variables and stdin are what it sees."""
    args = ["clean", "--targets", "-", "--any-ids", "--endpoint", "http://127.0.0.1:9", "--dry-run"]
    targets = b"p/g1\np/g2\np/g1\n"
    async with fresh(*args, token="a-token") as command:
        expected = await finished(command, targets)
    assert (expected.code, "of 2 protection groups in 1 project" in expected.stdout) == (0, True)
    given = dict(os.environ)
    assert await done(args, given | {"OS_TOKEN": "a-token"}, targets) == expected
    refused = await done(args, given, targets)
    assert (refused.code, refused.stdout) == (2, "")
    assert "OS_TOKEN is not set" in refused.stderr


async def test_a_fork_that_is_left_is_killed() -> None:
    """Nothing is left behind, whatever is still running beside it goes on, and the next run is as good as any."""
    async with STEM.process(["simulate"], os.environ) as beside:
        async with STEM.process(["simulate"], os.environ) as left:
            pass
        assert (left.returncode, beside.returncode) == (-signal.SIGKILL, None)
        with pytest.raises(ProcessLookupError):
            os.kill(left.pid, 0)
        assert (await done(["--version"], os.environ)).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_fork_ignores_what_whoever_started_it_ignores(number: signal.Signals) -> None:
    """And only that, though the process that forks was started by then."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        async with STEM.process(["simulate"], os.environ) as command:
            signal.signal(number, before)
            async with STEM.process(["simulate"], os.environ) as other:
                for each in (command, other):
                    assert each.stdout is not None
                    await each.stdout.readline()
                    each.send_signal(number)
                await other.wait()
                assert command.returncode is None
    finally:
        signal.signal(number, before)
