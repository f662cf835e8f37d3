"""The report of a run under way, and what is counted in it while that goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sdrs_async.limits import Learned
from sdrs_async.models import Outcome
from sdrs_async.report.projects import add_counts
from sdrs_async.report.report import Report
from sdrs_async.report.sections import Access, Ending


class Ledger(Report):
    """A report that is still counted. Whoever is handed it sees a `Report`; these verbs are for who runs the run."""

    def __dir__(self) -> list[str]:
        return [*dir(Report), *vars(self)]  # what a user may call

    def add(self, outcome: Outcome) -> None:
        """Count one settled target, at the moment it settles."""
        self._tally.add(outcome, self._watch.now())

    def add_unsettled(self, account: str, project_id: str, count: int, *, project_level: bool = False) -> None:
        """Count targets that were known, and not sent because the run was interrupted: groups, or `project_level`."""
        self._tally.add_unsettled(account, project_id, count, project_level)

    def add_duplicates(self, count: int) -> None:
        """Count targets that were given more than once; they are not among the planned ones."""
        self._tally.add_duplicates(count)

    def add_reads(self, count: int, throttled: int) -> None:
        """Count requests that only read, and were not for a target; those that were throttled are among them."""
        add_counts(self._others, {"reads": count, "reads_throttled": throttled})

    def add_sign_ins(self, count: int, throttled: int = 0, refused: int = 0) -> None:
        """Count sign-ins, of whichever account; those that were throttled, or refused, are among them."""
        counts = {"sign_ins": count, "sign_ins_throttled": throttled, "sign_ins_refused": refused}
        add_counts(self._others, counts)

    def add_access(self, signed_in: bool, refused: bool, failed: Mapping[str, str]) -> None:
        """Note whether any account was let in, and any refused; `failed`: why, by the name of each that was."""
        self._access |= Access(signed_in, refused, failed)

    def add_learned(self, learned: Iterable[Learned]) -> None:
        """Note the limits that the server showed in all of the run: those that nobody had configured."""
        self.learned = self._scopes.news(learned)

    def restart(self) -> None:
        """The time of the run begins now, after a question that somebody had to answer; what was counted stays."""
        self._watch.restart()
        self._listed_before = self.discovery.projects

    def fail(self, error: str) -> None:
        """This stopped the run, beside signals and refused accounts; of several the first is kept."""
        if self._ending.error is None:
            self._ending |= Ending(error=error)

    def finish(self, interrupted_by: int | None = None, stopped: bool = False) -> None:
        """The run has ended: by the signal `interrupted_by`, `stopped` without one, or by itself. Once is enough."""
        self._watch.stop()
        self._floor = self.floor
        signal = interrupted_by if self._ending.signal is None else self._ending.signal
        interrupted = self._ending.interrupted or stopped or interrupted_by is not None
        self._ending = Ending(interrupted, signal, self._ending.error)
