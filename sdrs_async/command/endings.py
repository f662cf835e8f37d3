"""How a cleanup ends: its exit code, its summary, and each error as one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from signal import Signals

from sdrs_async.accounts.connecting import note_lost
from sdrs_async.command.errors import as_error, code_of, complain
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.screen import Screen
from sdrs_async.command.signals import Interrupts
from sdrs_async.command.streams import say, to_stdout
from sdrs_async.errors import AuthenticationError, SdrsError
from sdrs_async.formats.text import print_result, print_summary
from sdrs_async.report import Ledger, Report


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

    def began(self, report: Ledger, lost: Mapping[str, AuthenticationError]) -> None:
        """What comes of it is counted in this report; the accounts that could not be signed in to are noted there."""
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
                self._print(self.report, Screen(stderr=outputs.on_stdout))
        for path in () if self.quiet else self.written:
            say(f"wrote {path}")
        for problem in (self.error, *self.mishaps):
            if problem is not None:
                complain(problem)

    def _print(self, report: Report, screen: Screen) -> None:
        if self.quiet:
            print_result(report, screen, exit_code=self.exit_code)
        else:
            print_summary(report, screen, exit_code=self.exit_code, fleet_file=self.fleet_file)
