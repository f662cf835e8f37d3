"""The counts of a run: by project, verdict, status code and cause. Adding is the hot path, merging adds counts.

Bounded by the numbers of projects, of distinct status and error codes, and of failures to keep; not by the targets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

from sdrs_async.models import Outcome, Verdict
from sdrs_async.report.failures import Failure, Failures
from sdrs_async.report.fields import Fields
from sdrs_async.report.latency import Latency
from sdrs_async.report.remedies import is_certificate, remedy, worth_retrying

__all__ = ["GROUPS", "GROUP_OF", "Cause", "ProjectTally", "Tally", "read_targets", "status_key", "targets_dict"]

GROUPS = ("done", "gone", "failed", "skipped", "unsettled")
"""What a planned target ends as. Their sum is `planned`."""
GROUP_OF: dict[str, str] = {
    Verdict.DELETED: "done",
    Verdict.GONE: "gone",
    Verdict.SKIPPED: "skipped",
    Verdict.UNSETTLED: "unsettled",
}
"""The group of a verdict; every other verdict is `failed`."""
_CauseKey = tuple[str, str, bool]


class ProjectTally:
    """The counts of one project. Clock times are those handed in; durations are whole microseconds, exact to add."""

    __slots__ = ("_busy_us", "_first", "_last", "status_codes", "targets")

    def __init__(self, busy_us: int = 0) -> None:
        self.targets = dict.fromkeys(GROUPS, 0)
        self.status_codes: dict[int | None, int] = {}
        self._busy_us = busy_us
        self._first = math.inf
        self._last = -math.inf

    def tried(self, first: float, last: float) -> None:
        """A target was tried from `first` to `last`."""
        self._first = min(self._first, first)
        self._last = max(self._last, last)

    @property
    def sent(self) -> int:
        """Targets that were meant to be answered: done, gone and failed."""
        return self.targets["done"] + self.targets["gone"] + self.targets["failed"]

    @property
    def answered(self) -> int:
        """Those of them that were: they have a status."""
        return self.sent - self.status_codes.get(None, 0)

    @property
    def busy_us(self) -> int:
        """Microseconds from the first try to the last settlement, added up over the runs that were merged."""
        own = round((self._last - self._first) * 1e6) if self._last > self._first else 0
        return self._busy_us + own

    def absorb(self, other: ProjectTally) -> None:
        """Add another one's counts and time."""
        self._busy_us += other.busy_us
        _add_counts(self.targets, other.targets)
        _add_counts(self.status_codes, other.status_codes)

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back what `Tally.to_dict` makes of it; `ConfigError` naming the key that is at odds with the others."""
        project = cls(round(fields.number("duration_s") * 1e6))
        project.targets = read_targets(fields)
        codes = fields.counts("status_codes")
        for key in codes:
            if key != "none" and not (key.isascii() and key.isdecimal() and len(key) <= 4 and str(int(key)) == key):
                raise fields.wrong("status_codes", f"{key[:60]!r} is not a status code")
        project.status_codes = {None if key == "none" else int(key): count for key, count in codes.items()}
        if sum(codes.values()) != project.sent:
            raise fields.wrong("status_codes", f"must add up to done, gone and failed ({project.sent})")
        return project


def read_targets(fields: Fields) -> dict[str, int]:
    """Read back targets by group; `ConfigError` when `planned` is not their sum."""
    targets = fields.fields("targets")
    groups = {group: targets.integer(group) for group in GROUPS}
    if targets.integer("planned") != sum(groups.values()):
        raise targets.wrong("planned", f"must be the sum of the groups ({sum(groups.values())})")
    return groups


class Cause:
    """How many targets share a verdict, an error code, and whether a certificate is to blame.

    `message` is the first of theirs in order, as an example.
    """

    __slots__ = ("count", "message")

    def __init__(self, count: int, message: str) -> None:
        self.count = count
        self.message = message

    def add(self, count: int, message: str) -> None:
        """Count more of the same."""
        self.count += count
        self.message = min(self.message, message)


class Tally:
    """All counts of one run, or of several."""

    __slots__ = (
        "causes", "duplicates", "failures", "latency", "projects", "retries", "sent", "throttled", "verdicts",
    )  # fmt: skip

    def __init__(self, max_failures: int | None) -> None:
        self.projects: dict[str, ProjectTally] = {}
        self.verdicts: dict[str, int] = {}
        self.causes: dict[_CauseKey, Cause] = {}
        self.failures = Failures(max_failures)
        self.latency = Latency()
        self.sent = self.retries = self.throttled = self.duplicates = 0

    def add(self, outcome: Outcome, now: float) -> None:
        """Count one settled target; `now` is the clock's time of its settlement."""
        project = self.project(outcome.target.project_id)
        verdict = outcome.verdict
        group = GROUP_OF.get(verdict, "failed")
        project.targets[group] += 1
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        if attempts := outcome.attempts:
            self.sent += attempts
            self.retries += attempts - 1
            self.throttled += outcome.throttled
            project.tried(now - outcome.elapsed, now)
        if outcome.latency is not None:
            self.latency.add(outcome.latency)
        if group not in ("skipped", "unsettled"):
            codes = project.status_codes
            codes[outcome.status_code] = codes.get(outcome.status_code, 0) + 1
        if group in ("failed", "skipped"):
            self.add_cause(verdict, outcome.error_code, 1, outcome.message)
            if group == "failed":
                self.failures.add(Failure.of(outcome))

    def project(self, project_id: str) -> ProjectTally:
        """The counts of a project, empty ones for a new one."""
        project = self.projects.get(project_id)
        if project is None:
            project = self.projects[project_id] = ProjectTally()
        return project

    def add_cause(self, verdict: str, error_code: str | None, count: int, message: str) -> None:
        """Count targets of one cause. A certificate that is not trusted is a cause apart: another thing mends it."""
        key = (verdict, error_code or "", is_certificate(verdict, message))
        cause = self.causes.get(key)
        if cause is None:
            self.causes[key] = Cause(count, message)
        else:
            cause.add(count, message)

    def add_unsettled(self, project_id: str, count: int) -> None:
        """Count targets that were planned and never sent."""
        if count:
            self.project(project_id).targets["unsettled"] += count
            _add_counts(self.verdicts, {Verdict.UNSETTLED: count})

    def absorb(self, other: Tally) -> None:
        """Add another one's counts to this one's."""
        for project_id, project in other.projects.items():
            self.project(project_id).absorb(project)
        _add_counts(self.verdicts, other.verdicts)
        for (verdict, code, _), cause in other.causes.items():
            self.add_cause(verdict, code, cause.count, cause.message)
        for failure in other.failures.ordered():
            self.failures.add(failure)
        self.latency.absorb(other.latency)
        self.sent += other.sent
        self.retries += other.retries
        self.throttled += other.throttled
        self.duplicates += other.duplicates

    def targets(self) -> dict[str, int]:
        """Targets by group, as of now; cheap enough to ask for at every redraw."""
        groups = dict.fromkeys(GROUPS, 0)
        for verdict, count in self.verdicts.items():
            groups[GROUP_OF.get(verdict, "failed")] += count
        return groups

    def only_worth_retrying(self) -> bool:
        """Whether every failure, if any, has a cause that another run may mend; skipped ones have none."""
        causes = self.causes.items()
        return all(worth_retrying(verdict, cause.message) for (verdict, *_), cause in causes)

    def to_dict(self) -> dict[str, Any]:
        """The counts as sections of the report (contract, section 6)."""
        targets = self.targets()
        status_codes: Counter[int | None] = Counter()
        for project in self.projects.values():
            status_codes.update(project.status_codes)
        failures = [failure.line() for failure in self.failures.ordered()]
        return {
            "targets": targets_dict(targets) | {"duplicates": self.duplicates},
            "status_codes": _status_codes(status_codes),
            "verdicts": {str(verdict): self.verdicts[verdict] for verdict in sorted(self.verdicts)},
            "requests": {"sent": self.sent, "retries": self.retries, "throttled": self.throttled},
            "projects": [_project_dict(name, self.projects[name]) for name in sorted(self.projects)],
            "failures": failures,
            "failures_omitted": targets["failed"] - len(failures),
            "causes": _causes_list(self.causes),
        }


def targets_dict(groups: Mapping[str, int]) -> dict[str, int]:
    """The five groups with `planned`, their sum, in front."""
    return {"planned": sum(groups.values()), **groups}


def status_key(status_code: int | None) -> str:
    """How JSON spells a status code as a key: `"none"` when no answer came."""
    return "none" if status_code is None else str(status_code)


def _status_codes(counts: Mapping[int | None, int]) -> dict[str, int]:
    order = sorted(counts, key=lambda code: math.inf if code is None else code)
    return {status_key(code): counts[code] for code in order}


def _project_dict(project_id: str, project: ProjectTally) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "targets": targets_dict(project.targets),
        "status_codes": _status_codes(project.status_codes),
        "duration_s": project.busy_us / 1e6,
    }


def _causes_list(causes: Mapping[_CauseKey, Cause]) -> list[dict[str, Any]]:
    """The causes, the most frequent first; what was skipped comes after the failures that may have led to it."""
    order = sorted(causes, key=lambda key: (key[0] == Verdict.SKIPPED, -causes[key].count, key))
    return [
        {
            "verdict": str(key[0]),
            "error_code": key[1] or None,
            "count": causes[key].count,
            "message": causes[key].message,
            "remedy": remedy(key[0], key[1], causes[key].message),
        }
        for key in order
    ]


def _add_counts(counts: dict[Any, int], more: Mapping[Any, int]) -> None:
    for key, count in more.items():
        counts[key] = counts.get(key, 0) + count
