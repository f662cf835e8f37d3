"""What the command says beside its result: plain lines on stderr, log records among them, and the question."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO

from rich.console import Console

from sdrs_async.render.wording import printable

__all__ = ["Screen", "ask", "flush_both", "is_interactive", "logging_to_stderr", "say", "unless_closed"]

_LOGGER = logging.getLogger("sdrs_async")


def say(message: str) -> None:
    """One line to stderr; a stderr that is gone changes nothing."""
    try:
        sys.stderr.write(f"{printable(message)}\n")
        sys.stderr.flush()
    except OSError:
        pass


def is_interactive() -> bool:
    """Whether somebody can be asked: both stdin and stderr are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> bool:
    """Ask on stderr, since stdout is for the result; true for y or yes, in any case."""
    sys.stderr.write(f"{printable(question)} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip().lower() in ("y", "yes")


def flush_both() -> None:
    """Write out what stdout and stderr still hold, so that at the end Python finds nothing that it cannot write."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _give_up(stream)


def _give_up(stream: TextIO) -> None:
    """Nobody reads the stream any more: send the rest nowhere, so that Python's own flush at the end stays quiet."""
    if isinstance(stream, TextIOWrapper):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def unless_closed() -> Iterator[None]:
    """Whoever reads stdout may stop when they have seen enough; the block then ends, and nothing is said."""
    try:
        yield
    except BrokenPipeError:
        _give_up(sys.stdout)


class Screen(Console):
    """A console on stdout, or on stderr, that goes on without a word when nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Instead of rich's own way, which exits with 1 whatever the job came to."""
        _give_up(sys.stderr if self.stderr else sys.stdout)


class _ToStderr(logging.Handler):
    """Writes to whatever `sys.stderr` is at the time: while a bar is drawn there, lines have to go above it."""

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            say(line)


@contextmanager
def logging_to_stderr(level: str) -> Iterator[None]:
    """Show the package's log records of this level (a name of `logging`, in any case) and above, one line each."""
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = _LOGGER.level
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(level.upper())
    try:
        yield
    finally:
        _LOGGER.setLevel(before)
        _LOGGER.removeHandler(handler)
