"""The standard streams: lines, log records and the question on stderr, the result on stdout, and what if one fails."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import signal
import sys
import termios
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from io import TextIOWrapper
from types import FrameType
from typing import TextIO

import anyio

from sdrs_async.errors import ConfigError
from sdrs_async.formats.wording import printable
from sdrs_async.report.fields import rfc3339

STDOUT = "-"
"""What a path is for which a stream is read or written."""

_LOGGER = logging.getLogger("sdrs_async")
_PAUSE = 0.05
_ROUNDS = 40
_LONGEST = 4096
_UNLOGGED = ContextVar("_UNLOGGED", default=False)
_OF_EVERY_RECORD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
_SIZE = re.compile("[1-9][0-9]{0,3}")
"""Columns and lines: a table as wide as a larger number says would be filled up with blanks until memory is out."""


class _Stderr(TextIOWrapper):
    """A stderr that is full, or that nobody reads any more, changes nothing: what is written then goes nowhere."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            give_up(self)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            give_up(self)


def use_streams() -> None:
    """Make stdout and stderr of the process fit for all that the command writes; for its entry point, once."""
    for name in ("COLUMNS", "LINES"):
        if not _SIZE.fullmatch(os.environ.get(name, "")):
            os.environ.pop(name, None)  # rich, and the help, take any number for a size, and 0 too
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    # An id or a message must not end a run because the terminal's encoding lacks a letter of it.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, TextIOWrapper):
        encoding = sys.stderr.encoding
        sys.stderr = _Stderr(sys.stderr.detach(), encoding, errors="backslashreplace", line_buffering=True)


def say(message: str) -> None:
    """One line to stderr; a stderr that is gone changes nothing."""
    try:
        sys.stderr.write(f"{printable(message)}\n")
        sys.stderr.flush()
    except OSError:
        pass


def is_interactive() -> bool:
    """Whether somebody can be asked: both stdin, which may be closed, and stderr are a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


async def ask(question: str) -> bool:
    """Ask on stderr, since stdout is for the result; true for a line of y or yes in any case, typed after it was shown.

    What was typed before answers nothing. Cancellable while it waits.
    """
    terminal = sys.stdin.fileno()
    is_quiet = await _forget_typed(terminal)
    sys.stderr.write(f"{printable(question)} [y/N] ")
    sys.stderr.flush()
    answer = await _line(terminal) if is_quiet else b""
    if not answer.endswith(b"\n"):
        sys.stderr.write("\n")
        return False
    return answer.strip().lower() in (b"y", b"yes")


async def _forget_typed(terminal: int) -> bool:
    """Throw away what was typed so far. False where there is no end of it, or the terminal is gone: nobody can answer.

    More than the terminal holds (4 KiB) comes after the first of it is gone, so that each time a pause is waited for.
    """
    for _ in range(_ROUNDS):
        with suppress(termios.error):
            termios.tcflush(terminal, termios.TCIFLUSH)
            with anyio.move_on_after(_PAUSE) as pause:
                await anyio.wait_readable(terminal)
            if pause.cancelled_caught:
                termios.tcflush(terminal, termios.TCIFLUSH)  # a line that is not ended yet makes nothing readable
                return True
    return False


async def _line(terminal: int) -> bytes:
    """The next line, past the buffer of `sys.stdin`, which may hold what was typed before; what there is at its end."""
    line = b""
    with suppress(OSError):  # the terminal is gone
        while not line.endswith(b"\n") and len(line) < _LONGEST:
            # A terminal is readable once there is a whole line, or its end.
            await anyio.wait_readable(terminal)
            more = os.read(terminal, _LONGEST)
            if not more:
                break
            line += more
    return line


def flush_both() -> None:
    """Write out what stdout and stderr still hold, so that at the end Python finds nothing that it cannot write."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            give_up(stream)


def give_up(stream: TextIO) -> None:
    """Nobody reads the stream any more: send the rest nowhere, so that no flush fails, not even Python's at its end."""
    if isinstance(stream, TextIOWrapper) and not stream.closed:
        with suppress(OSError):  # out of descriptors
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@contextmanager
def to_stdout(signals: Iterable[signal.Signals] = ()) -> Iterator[TextIO]:
    """Around what writes to stdout. Whoever reads it may stop when they have seen enough: the block ends, quietly.

    Raises `ConfigError` when it cannot be written. `signals`: as for `waiting`.
    """
    try:
        with waiting(sys.stdout, signals):
            yield sys.stdout
            sys.stdout.flush()
    except BrokenPipeError:
        give_up(sys.stdout)
    except OSError as error:
        give_up(sys.stdout)
        raise ConfigError(f"stdout cannot be written: {error.strerror or error}") from None


@contextmanager
def waiting(file: TextIO, signals: Iterable[signal.Signals]) -> Iterator[None]:
    """Around what may wait for somebody who reads the file.

    `signals` change nothing while the block lasts, unless it does wait: that is given up then, by an `OSError`.
    """

    def unless_read(number: int, frame: FrameType | None) -> None:
        if not (file.closed or takes_more(file)):
            raise OSError("nobody reads it")

    before = {number: signal.signal(number, unless_read) for number in signals if not is_ignored(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def takes_more(file: TextIO) -> bool:
    """Whether a pipe, socket or terminal takes `select.PIPE_BUF` bytes at once."""
    return bool(select.select([], [file], [], 0)[1])


def is_ignored(number: signal.Signals) -> bool:
    """Whether who started the process asked it to survive this signal: nohup a hang-up, a shell's `&` a Ctrl-C."""
    return signal.getsignal(number) is signal.SIG_IGN


class _ToStderr(logging.Handler):
    """Writes to whatever `sys.stderr` is at the time: while a bar is drawn there, lines have to go above it."""

    def emit(self, record: logging.LogRecord) -> None:
        if _UNLOGGED.get():
            return
        for line in self.format(record).splitlines():
            say(line)


class _Json(logging.Formatter):
    """A JSON object per record: time, level, logger and message, and the facts that came with it."""

    def format(self, record: logging.LogRecord) -> str:
        time = rfc3339(datetime.fromtimestamp(record.created, UTC), "milliseconds")
        facts = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
        head = {"time": time, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        return json.dumps(head | facts, default=str)


@contextmanager
def logging_to_stderr(level: str, *, as_json: bool = False) -> Iterator[None]:
    """Show the package's log records of this level (a name of `logging`, in any case) and above.

    One line each; `as_json`: an object each.
    """
    handler = _ToStderr()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_Json() if as_json else plain)
    before = _LOGGER.level
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(level.upper())
    try:
        yield
    finally:
        _LOGGER.setLevel(before)
        _LOGGER.removeHandler(handler)


@contextmanager
def unlogged() -> Iterator[None]:
    """Log nothing of what this thread, or the tasks that it starts, do meanwhile: of a model it would pass for real."""
    token = _UNLOGGED.set(True)
    try:
        yield
    finally:
        _UNLOGGED.reset(token)
