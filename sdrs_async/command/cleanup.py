"""One cleanup as the command does it: targets from a spool, progress, signals, and the files written in every case."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import TextIO

import anyio
import anyio.abc

from sdrs_async.auth import Auth
from sdrs_async.batch import Run, stream
from sdrs_async.client import Client
from sdrs_async.command.outputs import STDOUT, FailureFile, Outputs, ResultsFile, written_whole
from sdrs_async.command.progress import Snapshot, show_bar, show_lines
from sdrs_async.command.targets import Spool
from sdrs_async.command.terminal import Screen, say, to_stdout
from sdrs_async.engine import GRACE
from sdrs_async.errors import AuthenticationError, ConfigError, SdrsError
from sdrs_async.models import Limits, Outcome, RetryPolicy
from sdrs_async.render import html
from sdrs_async.render.text import print_summary, write_json
from sdrs_async.report import Report

__all__ = ["Cleanup", "Connection", "Ending"]

_GENTLY = f"nothing new is started, requests on the wire get {GRACE:g} s for their answer"
_ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):
    _ENDINGS[signal.SIGHUP] = "hung up"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the requests go, as whom, how fast and how often."""

    endpoint: str
    auth: Auth
    limits: Limits
    retry: RetryPolicy
    ca_file: str | None = None
    allow_http: bool = False

    def check(self) -> None:
        """Raise `ConfigError` for an endpoint or CA file that cannot be used. Sends nothing."""
        # Plain http needs no certificates, but a file that cannot be read is a mistake all the same.
        for endpoint in (self.endpoint, "https://127.0.0.1") if self.ca_file else (self.endpoint,):
            Client(
                endpoint, self.auth, limits=self.limits, retry=self.retry,
                ca_file=self.ca_file, allow_http=self.allow_http,
            )  # fmt: skip


@dataclass(slots=True)
class Ending:
    """How a cleanup ended.

    `report`: `None` when it never began; `error`: what stopped it; `mishaps`: which outputs went wrong; `written`: the
    paths to mention.
    """

    report: Report | None = None
    error: SdrsError | None = None
    written: list[str] = field(default_factory=list)
    mishaps: list[ConfigError] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Contract section 5: a signal goes before 3, that before 2, and that before what became of the targets."""
        report = self.report
        if report is not None and report.signal is not None:
            return report.exit_code
        if isinstance(self.error, AuthenticationError):
            return 3
        return 2 if report is None or self.error or self.mishaps else report.exit_code

    def present(self, outputs: Outputs, signals: Iterable[signal.Signals] = ()) -> None:
        """Print the summary, on stdout unless an output is there; then what was written and each error, on stderr.

        A summary that cannot be printed is one more mishap. `signals`: as `to_stdout` takes them.
        """
        if self.report is not None:
            try:
                with nullcontext() if outputs.on_stdout else to_stdout(signals):
                    print_summary(self.report, Screen(stderr=outputs.on_stdout), exit_code=self.exit_code)
            except ConfigError as mishap:
                self.mishaps.append(mishap)
        for path in self.written:
            say(f"wrote {path}")
        for problem in (self.error, *self.mishaps):
            if problem is not None:
                say(f"error: {problem}")


class Cleanup:
    """Clean the spool's targets. `quiet`: without progress and notes; `interval`: seconds between lines of progress."""

    def __init__(
        self, connection: Connection, spooled: Spool, outputs: Outputs, *, quiet: bool = False, interval: float = 5.0
    ) -> None:
        self._connection = connection
        self._spool = spooled
        self._outputs = outputs
        self._quiet = quiet
        self._interval = interval
        self._seen: Counter[str] = Counter()
        self._results: ResultsFile | None = None
        self._failures: FailureFile | None = None
        self._signal: signal.Signals | None = None
        self._signals = [number for number in _ENDINGS if not _is_to_be_ignored(number)]
        self._ending = Ending()

    async def run(self) -> Ending:
        """Do it, once, and present how it ended. Raises nothing but `ConfigError` before anything is sent.

        SIGINT, SIGTERM and SIGHUP end it early, and cut off neither the files nor the summary.
        """
        with ExitStack() as files:
            if self._outputs.results is not None:
                self._results = files.enter_context(ResultsFile(self._outputs.results))
            if self._outputs.json is not None:
                self._failures = files.enter_context(FailureFile())
            with anyio.open_signal_receiver(*self._signals) as signals:
                await self._clean(signals)
                self._write()
                self._ending.present(self._outputs, self._signals)
        return self._ending

    async def _clean(self, signals: AsyncIterator[signal.Signals]) -> None:
        c = self._connection
        async with anyio.create_task_group() as tasks:
            try:
                async with stream(
                    self._spool.per_project(), endpoint=c.endpoint, auth=c.auth, limits=c.limits, retry=c.retry,
                    ca_file=c.ca_file, allow_http=c.allow_http,
                ) as run:  # fmt: skip
                    self._ending.report = run.report
                    tasks.start_soon(self._obey, signals, run)
                    self._show(tasks, run)
                    async for outcome in run:
                        await self._take(outcome, run)
            except SdrsError as error:
                self._ending.error = error
                self._note(error)
            tasks.cancel_scope.cancel()

    def _show(self, tasks: anyio.abc.TaskGroup, run: Run) -> None:
        def read() -> Snapshot:
            targets, (held, wait) = run.report.targets, run.held()
            clean = targets["done"] + targets["gone"]
            return Snapshot(self._spool.count, clean, targets["failed"], targets["skipped"], held, wait)

        console = Screen(stderr=True)
        # The lines of results would run into the bar.
        shared = self._outputs.results == STDOUT and sys.stdout.isatty()
        if self._quiet:
            return
        if sys.stderr.isatty() and console.is_interactive and not shared:
            tasks.start_soon(show_bar, read, console)
        else:
            tasks.start_soon(show_lines, read, say, self._interval)

    async def _obey(self, signals: AsyncIterator[signal.Signals], run: Run) -> None:
        """The first signal ends the run gently, the second at once."""
        self._signal = first = await anext(signals)
        again = "press Ctrl-C again to end at once" if first == signal.SIGINT else "a second signal ends at once"
        say(f"{_ENDINGS[first]}: {_GENTLY}; {again}")
        run.stop(signal=first)
        async for _ in signals:
            say("ending at once")
            run.stop(0)
            if self._results is not None:
                self._results.wait_no_more()

    async def _take(self, outcome: Outcome, run: Run) -> None:
        self._seen[outcome.target.project_id] += 1
        try:
            if self._failures is not None:
                self._failures.add(outcome)
        except ConfigError as error:
            self._failures = None
            self._stop(error, run)
        try:
            if self._results is not None:
                await self._results.add(outcome)
        except ConfigError as error:
            self._results = None
            self._stop(error, run)

    def _stop(self, mishap: ConfigError, run: Run) -> None:
        self._ending.mishaps.append(mishap)
        self._note(mishap)
        if self._signal is None and len(self._ending.mishaps) == 1:
            say(f"stopping: {_GENTLY}")
        run.stop()

    def _note(self, error: SdrsError) -> None:
        """Say in the report too what stopped the run; a refused credential is there by itself."""
        report = self._ending.report
        if report is not None and report.error is None and not isinstance(error, AuthenticationError):
            report.error = str(error)

    def _write(self) -> None:
        """Complete the report and write its documents; the one on stdout last, since somebody may have to read it."""
        report = self._ending.report
        if report is None:
            return
        if self._signal is not None:
            # It may have come when all was done, but for results that nobody read.
            report.finish(self._signal)
        report.add_duplicate(self._spool.duplicates)
        for project_id, count in self._spool.counts():
            # Targets that were never read are planned all the same: the spool knows how many there are.
            report.add_unsettled(project_id, count - self._seen[project_id])
        documents = [(self._outputs.json, self._write_json), (self._outputs.html, _write_html)]
        for path, write in sorted(documents, key=lambda document: document[0] == STDOUT):
            if path is not None:
                self._write_one(path, write, report)

    def _write_one(self, path: str, write: Callable[[Report, TextIO], None], report: Report) -> None:
        try:
            with to_stdout(self._signals) if path == STDOUT else written_whole(path) as file:
                write(report, file)
        except ConfigError as error:
            self._ending.mishaps.append(error)
        else:
            if path != STDOUT and not self._quiet:
                self._ending.written.append(path)

    def _write_json(self, report: Report, file: TextIO) -> None:
        write_json(report, file, failures=self._failures)


def _write_html(report: Report, file: TextIO) -> None:
    file.write(html.render(report))


def _is_to_be_ignored(number: signal.Signals) -> bool:
    """Whether who started the process asked it to survive a hang-up, as nohup does."""
    return _ENDINGS[number] == "hung up" and signal.getsignal(number) == signal.SIG_IGN
