"""How a command ends: what stops it, as words on stderr and as an exit code, and the summary of a cleanup."""

from __future__ import annotations

import errno
import logging
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from signal import Signals
from typing import TYPE_CHECKING

import typer

from sdrs_async.accounts.connecting import note_lost
from sdrs_async.command.signals import Interrupts
from sdrs_async.command.streams import logging_to_stderr, say, to_stdout
from sdrs_async.errors import AuthenticationError, ConfigError, JournalError, SdrsError
from sdrs_async.report import Ledger, Report

if TYPE_CHECKING:
    from sdrs_async.command.outputs import Outputs

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


@dataclass(slots=True)
class Ending:
    """How a cleanup ended.

    `report`: `None` when it never began; `error`: what stopped it; `mishaps`: which outputs went wrong; `written`: the
    paths of those that are there; `signal`: that came before it began; `fleet_file`: the accounts come from one;
    `quiet`: nobody wants to see more than the result.
    """

    report: Ledger | None = None
    error: SdrsError | None = None
    written: list[str] = field(default_factory=list)
    mishaps: list[SdrsError] = field(default_factory=list)
    signal: Signals | None = None
    fleet_file: bool = False
    quiet: bool = False

    def began(self, report: Report | None, lost: Mapping[str, AuthenticationError]) -> None:
        """What comes of it is counted in this report; the accounts that could not be signed in to are noted there."""
        if isinstance(report, Ledger):
            self.report = report
            note_lost(report, lost)

    def stopped(self, error: Exception) -> SdrsError:
        """This has stopped it; as the error that it is for a command."""
        self.error = as_error(error)
        return self.error

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Whatever goes wrong in the block is a mishap: what comes after it is done all the same."""
        try:
            yield
        except Exception as error:
            self.mishaps.append(as_error(error))

    @property
    def exit_code(self) -> int:
        """A signal goes before an error, an error before an output, and that before what became of the targets."""
        report = self.report
        if report is not None and report.signal is not None:
            return report.exit_code
        if self.signal is not None:
            return 128 + self.signal
        for problem in (self.error, *self.mishaps):
            if problem is not None:
                return code_of(problem)
        return 2 if report is None else report.exit_code

    def present(self, outputs: Outputs, interrupts: Interrupts) -> None:
        """Print the summary, on stdout unless an output is there; then what was written and each error, on stderr.

        Of a quiet one only the line with the result, and on stderr only one that is not good. A summary that cannot be
        printed is one more mishap. `interrupts`: one of its signals may have come before it began.
        """
        if self.report is None:
            self.signal = interrupts.first
        elif not (self.quiet and outputs.on_stdout and not self.exit_code):
            with self.noting(), nullcontext() if outputs.on_stdout else to_stdout(interrupts.numbers):
                self._print(self.report, stderr=outputs.on_stdout)
        for path in () if self.quiet else self.written:
            say(f"wrote {path}")
        for problem in (self.error, *self.mishaps):
            if problem is not None:
                complain(problem)

    def _print(self, report: Report, *, stderr: bool) -> None:
        from sdrs_async.command.screen import Screen
        from sdrs_async.formats.text import print_result, print_summary

        if self.quiet:
            print_result(report, Screen(stderr=stderr), exit_code=self.exit_code)
        else:
            print_summary(report, Screen(stderr=stderr), exit_code=self.exit_code, fleet_file=self.fleet_file)
