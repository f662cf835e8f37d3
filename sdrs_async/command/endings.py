"""How a command ends: its exit code, its summary, and each error as one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from signal import Signals

import typer

from sdrs_async.command.flags import Level
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.terminal import Screen, logging_to_stderr, say, to_stdout
from sdrs_async.errors import AuthenticationError, ConfigError, SdrsError
from sdrs_async.render.text import print_summary
from sdrs_async.report import Report

__all__ = ["Ending", "complain", "reported"]


@contextmanager
def reported(level: Level = Level.WARNING) -> Iterator[None]:
    """Log to stderr; turn what stops a command into its words there and its exit code."""
    with logging_to_stderr(level):
        try:
            yield
        except SdrsError as error:
            complain(error)
            raise typer.Exit(3 if isinstance(error, AuthenticationError) else 2) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None


def complain(error: SdrsError) -> None:
    """The error on stderr; of a file with several faults each is a line of its own."""
    for number, line in enumerate(str(error).splitlines()):
        say(f"{'' if number else 'error: '}{line}")


@dataclass(slots=True)
class Ending:
    """How a cleanup ended.

    `report`: `None` when it never began; `error`: what stopped it; `mishaps`: which outputs went wrong; `written`: the
    paths to mention; `signal`: that came before it began; `fleet_file`: the accounts come from one.
    """

    report: Report | None = None
    error: SdrsError | None = None
    written: list[str] = field(default_factory=list)
    mishaps: list[ConfigError] = field(default_factory=list)
    signal: Signals | None = None
    fleet_file: bool = False

    @property
    def exit_code(self) -> int:
        """Contract section 5: a signal goes before 3, that before 2, and that before what became of the targets."""
        report = self.report
        if report is not None and report.signal is not None:
            return report.exit_code
        if self.signal is not None:
            return 128 + self.signal
        if isinstance(self.error, AuthenticationError):
            return 3
        return 2 if report is None or self.error or self.mishaps else report.exit_code

    def present(self, outputs: Outputs, signals: Iterable[Signals] = ()) -> None:
        """Print the summary, on stdout unless an output is there; then what was written and each error, on stderr.

        A summary that cannot be printed is one more mishap. `signals`: as `to_stdout` takes them.
        """
        if self.report is not None:
            try:
                with nullcontext() if outputs.on_stdout else to_stdout(signals):
                    screen = Screen(stderr=outputs.on_stdout)
                    print_summary(self.report, screen, exit_code=self.exit_code, fleet_file=self.fleet_file)
            except ConfigError as mishap:
                self.mishaps.append(mishap)
        for path in self.written:
            say(f"wrote {path}")
        for problem in (self.error, *self.mishaps):
            if problem is not None:
                complain(problem)
