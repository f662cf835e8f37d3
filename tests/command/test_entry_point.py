"""The first and the last moments of the command's process: Ctrl-C there is quiet."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.support.command import Done, finished

ROOT = Path(__file__).resolve().parents[2]
WAYS = {
    "module": "runpy.run_module('sdrs_async', run_name='__main__', alter_sys=True)",
    "script": "from sdrs_async.command.cli import main; main()",
}
# What the process does before it becomes the command: it will interrupt itself at a moment that can be told.
AT_IMPORT = "sys.addaudithook(lambda event, args: event == 'import' and args[0] == {!r} and interrupt())"
AT_JOIN = "threading.Thread(target=lambda: (threading.main_thread().join(), interrupt(), time.sleep(30))).start()"
AT_EXIT = "atexit.register(interrupt)"
IGNORED = "signal.signal(signal.SIGINT, signal.SIG_IGN)"


async def ended(way: str, moment: str, *args: str) -> Done:
    """How the command ends that interrupts itself."""
    code = (
        "import atexit, os, runpy, signal, sys, threading, time\n"
        "def interrupt():\n    os.kill(os.getpid(), signal.SIGINT)\n"
        f"{moment}\nsys.argv[1:] = {args!r}\n{WAYS[way]}\n"
    )
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT, env={"OS_TOKEN": "a"}
    )
    return await finished(command)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["sdrs_async.command.app", "dataclasses", "aiohttp.client"])
async def test_ctrl_c_while_libraries_load_is_quiet(way: str, name: str) -> None:
    """Whatever is being imported: exit code 130, and not a line of a traceback."""
    assert await ended(way, AT_IMPORT.format(name), "--version") == Done(130, "", "")


async def test_ctrl_c_while_help_is_made_is_quiet() -> None:
    """Between the imports and the work proper it is the same: 130, and no word such as `Aborted!`."""
    assert await ended("script", AT_IMPORT.format("rich.panel"), "clean", "--help") == Done(130, "", "")


async def test_ctrl_c_at_the_end_is_quiet() -> None:
    """Where a thread holds up the end, Ctrl-C ends the process; later than that, the end is at hand, and as it was."""
    assert await ended("script", AT_JOIN, "--version") == Done(130, "sdrs-async 0.1.0\n", "")
    assert await ended("script", AT_EXIT, "--version") == Done(0, "sdrs-async 0.1.0\n", "")


async def test_ctrl_c_after_a_run_is_quiet() -> None:
    """The loop that a run had leaves nothing of its own handling of signals behind."""
    done = await ended("script", AT_JOIN, "doctor", "--endpoint", "http://127.0.0.1:9")
    assert (done.code, done.stderr.count("\n")) == (130, 1)
    assert "1 account examined" in done.stdout


async def test_a_ctrl_c_that_is_ignored_stays_ignored() -> None:
    """A job that a script put into the background is not ended by the Ctrl-C for what is in the foreground."""
    moment = f"{IGNORED}\n{AT_IMPORT.format('aiohttp.client')}"
    assert await ended("script", moment, "--version") == Done(0, "sdrs-async 0.1.0\n", "")
