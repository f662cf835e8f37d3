"""What stops a command, as words on stderr and as an exit code."""

from __future__ import annotations

import errno
import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import typer

from sdrs_async.command.streams import logging_to_stderr, say
from sdrs_async.errors import AuthenticationError, ConfigError, JournalError, SdrsError

log = logging.getLogger("sdrs_async")


@contextmanager
def reported(level: str = "warning", *, as_json: bool = False) -> Iterator[None]:
    """Log to stderr; turn what stops a command into its words there and its exit code."""
    with logging_to_stderr(level, as_json=as_json):
        try:
            _need_descriptors()
            yield
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            stopped = as_error(error)
            complain(stopped)
            raise typer.Exit(code_of(stopped)) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None


def _need_descriptors() -> None:
    """Raise `OSError` when there are fewer left than an event loop takes: it would say so by a traceback."""
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(open(os.devnull, "rb"))


def as_error(error: Exception) -> SdrsError:
    """The error as one of those that stop a command: what nobody foresaw is a defect, or something is missing.

    Of a defect only kind and place are told, since its text may hold anything; how it got there is a debug record.
    """
    if isinstance(error, ExceptionGroup):
        return as_error(error.exceptions[0])
    if isinstance(error, SdrsError):
        return error
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("rich"):  # loaded when it is needed
        return ConfigError("the command needs its extra: pip install 'sdrs-async[cli]'")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return ConfigError(f"{error.strerror}: allow more of them (ulimit -n), or give a lower --concurrency")
    cause: BaseException | None = error
    while cause is not None:
        frames = "".join(traceback.format_tb(cause.__traceback__))
        log.debug("%s, most recent call last:\n%s", type(cause).__name__, frames)
        cause = cause.__cause__ or cause.__context__
    return SdrsError(f"defect: {type(error).__name__} {_place_of(error)}: please report it, with --log-level debug")


def _place_of(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"in {'/'.join(frames[-1].filename.split(os.sep)[-3:])}, line {frames[-1].lineno}" if frames else "somewhere"


def code_of(error: SdrsError) -> int:
    """The exit code of a command that this has stopped."""
    if isinstance(error, AuthenticationError):
        return 3
    return 2 if isinstance(error, ConfigError | JournalError) else 1


def complain(error: SdrsError) -> None:
    """The error on stderr; of a file with several faults each is a line of its own."""
    for number, line in enumerate(str(error).splitlines()):
        say(f"{'' if number else 'error: '}{line}")
