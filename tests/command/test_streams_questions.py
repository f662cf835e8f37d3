"""The question before a deletion, on a real terminal: only what was typed after it was shown answers it."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import sys
import termios
from collections.abc import Awaitable, Callable, Iterator
from contextlib import redirect_stderr, suppress
from pathlib import Path

import pytest

from sdrs_async.command.streams import ask
from sdrs_async.simulator import Simulator
from tests.command.test_interrupts import on_terminal, without_yes
from tests.support.command import until


class Terminal:
    """A terminal as stdin, which echoes nothing, and a stderr that is kept."""

    def __init__(self) -> None:
        self.screen, self.line = pty.openpty()
        self._set(termios.ECHO, on=False)
        self.stdin = open(self.line)  # noqa: SIM115 - the fixture closes it
        self.stderr = io.StringIO()

    @property
    def shown(self) -> str:
        """What is on stderr."""
        return self.stderr.getvalue()

    def type(self, keys: bytes) -> None:
        """Somebody types these keys; all of them have been typed when this returns."""
        while keys:
            keys = keys[os.write(self.screen, keys) :]

    def whole_lines(self, *, on: bool) -> None:
        """Whether who reads gets whole lines, as terminals do."""
        self._set(termios.ICANON, on=on)

    def _set(self, flag: int, *, on: bool) -> None:
        settings = termios.tcgetattr(self.line)
        settings[3] = settings[3] | flag if on else settings[3] & ~flag
        termios.tcsetattr(self.line, termios.TCSANOW, settings)

    def hang_up(self) -> None:
        """The window is closed."""
        with suppress(OSError):
            os.close(self.screen)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal, whose window is closed in the end."""
    made = Terminal()
    with made.stdin:
        yield made
        made.hang_up()


async def question(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Ask on this terminal."""
    monkeypatch.setattr(sys, "stdin", terminal.stdin)
    with redirect_stderr(terminal.stderr):
        async with asyncio.timeout(20):
            return await ask("Delete?")


Answered = Callable[[bytes, bytes], Awaitable[bool]]


@pytest.fixture
def answered(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Answered:
    """What comes of a question with these keys before it is shown, and these after."""

    async def answer(before: bytes, after: bytes) -> bool:
        terminal.type(before)
        asking = asyncio.create_task(question(terminal, monkeypatch))
        await until(lambda: "Delete? [y/N] " in terminal.shown)
        terminal.type(after)
        return await asking

    return answer


TYPED_AHEAD = {
    "a yes": b"y\n",
    "a yes without its end": b"y",
    "several lines": b"yes\ny\ny\n",
    "lines and the begin of one": b"y\nye",
    "the end of input": b"\x04",
    "a yes and the end of input": b"y\n\x04",
    "more than a terminal holds": b"y\n" * 4000,
}


@pytest.mark.parametrize("before", TYPED_AHEAD.values(), ids=TYPED_AHEAD)
@pytest.mark.parametrize(("after", "confirmed"), [(b"n\n", False), (b"\n", False), (b"y\n", True), (b"YES\n", True)])
async def test_only_what_is_typed_after_the_question_answers_it(
    answered: Answered, before: bytes, after: bytes, confirmed: bool
) -> None:
    """Keys from before the question are gone, ended or not: neither do they confirm, nor do they spoil the answer."""
    assert await answered(before, after) is confirmed


async def test_what_python_holds_of_stdin_answers_nothing(terminal: Terminal, answered: Answered) -> None:
    """A line that came with an earlier one, and waits in the buffer of `sys.stdin`, is from before the question."""
    terminal.whole_lines(on=False)
    terminal.type(b"first\ny\n")
    assert terminal.stdin.readline() == "first\n"
    terminal.whole_lines(on=True)
    assert await answered(b"", b"n\n") is False


@pytest.mark.parametrize("after", [b"\x04", b"y\x04\x04", b"y y\n", b"n\ny\n", b"\xff\n", b"y" * 5000 + b"\n"])
async def test_anything_but_a_line_of_yes_is_a_no(terminal: Terminal, answered: Answered, after: bytes) -> None:
    """The end of input, a yes that nobody ended, other words and broken ones confirm nothing."""
    assert await answered(b"", after) is False
    assert terminal.shown.endswith("[y/N] \n") is (b"\n" not in after)


async def test_a_terminal_that_is_gone_confirms_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window was closed before the question, with a yes typed in it."""
    terminal.type(b"y\n")
    terminal.hang_up()
    assert await question(terminal, monkeypatch) is False


async def test_a_terminal_that_goes_away_confirms_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is closed while the question waits, with a yes that was not ended."""
    asking = asyncio.create_task(question(terminal, monkeypatch))
    await until(lambda: "Delete? [y/N] " in terminal.shown)
    terminal.type(b"y")
    terminal.hang_up()
    assert await asking is False


async def test_input_without_an_end_confirms_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where keys come and come, as with a key held down, no answer can be told from what came before: it is a no."""
    # A busy system hands the next keys on late: that is no pause of whoever types.
    monkeypatch.setattr("sdrs_async.command.streams._PAUSE", 10.0)
    loop = asyncio.get_running_loop()
    os.set_blocking(terminal.screen, False)
    loop.add_writer(terminal.screen, lambda: os.write(terminal.screen, b"y\n"))
    try:
        assert await question(terminal, monkeypatch) is False
    finally:
        loop.remove_writer(terminal.screen)


async def test_a_yes_typed_while_projects_are_listed_deletes_nothing(tmp_path: Path) -> None:
    """A yes typed while the lists are read, long before the question, is forgotten: the answer to it decides."""
    async with Simulator(projects=2, groups=3, latency=0.5) as simulator:
        args = ["clean", "--all-projects", "--endpoint", simulator.url, "--iam-endpoint", simulator.url]
        async with on_terminal(*args, token=simulator.token) as terminal:
            await until(lambda: simulator.log)
            terminal.type(b"y\n")
            await until(lambda: "[y/N]" in terminal.text)
            terminal.type(b"n\n")
            assert await terminal.command.wait() == 2
            await until(lambda: "not confirmed: nothing was deleted" in terminal.text)
        assert {entry.method for entry in simulator.log} == {"GET"}
        assert simulator.remaining == 12


async def test_a_yes_typed_before_the_command_asks_sends_nothing(tmp_path: Path) -> None:
    """The same with a list of targets, where the command asks as soon as it has read it."""
    async with Simulator(projects=1, groups=2) as simulator:
        async with on_terminal(*without_yes(tmp_path, simulator), token=simulator.token) as terminal:
            terminal.type(b"y\n")
            await until(lambda: "[y/N]" in terminal.text)
            terminal.type(b"n\n")
            assert await terminal.command.wait() == 2
        assert simulator.log == []
