"""The counts of one project of one account: what became of its targets, its status codes, its time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

from sdrs_async.models import Verdict
from sdrs_async.report.fields import Fields

GROUPS = ("done", "gone", "failed", "skipped", "unsettled")
"""What a planned target ends as. Their sum is `planned`."""
GROUP_OF: dict[str, str] = {
    Verdict.DELETED: "done",
    Verdict.GONE: "gone",
    Verdict.SKIPPED: "skipped",
    Verdict.UNSETTLED: "unsettled",
}
"""The group of a verdict; every other verdict is `failed`."""


class ProjectTally:
    """The counts of one project. Clock times are those handed in; durations are whole microseconds, exact to add.

    `targets` counts all of them; `project_level` those among them that are no groups: it is empty without any.
    """

    __slots__ = ("_busy_us", "_first", "_last", "project_level", "status_codes", "targets")

    def __init__(self, busy_us: int = 0) -> None:
        self.targets = dict.fromkeys(GROUPS, 0)
        self.project_level: dict[str, int] = {}
        self.status_codes: dict[int | None, int] = {}
        self._busy_us = busy_us
        self._first = math.inf
        self._last = -math.inf

    def tried(self, first: float, last: float) -> None:
        """A target was tried from `first` to `last`."""
        if first < self._first:  # noqa: PLR1730 - twice as fast as `min`, on the hot path
            self._first = first
        if last > self._last:  # noqa: PLR1730 - as above
            self._last = last

    @property
    def sent(self) -> int:
        """Targets that were meant to be answered: done, gone and failed."""
        return self.targets["done"] + self.targets["gone"] + self.targets["failed"]

    @property
    def answered(self) -> int:
        """Those of them that were: they have a status."""
        return self.sent - self.status_codes.get(None, 0)

    @property
    def let_in(self) -> int:
        """Those that a limit let in: all but what was throttled to its end."""
        return self.sent - self.status_codes.get(429, 0)

    @property
    def busy_us(self) -> int:
        """Microseconds from the first try to the last settlement, added up over the runs that were merged."""
        own = round((self._last - self._first) * 1e6) if self._last > self._first else 0
        return self._busy_us + own

    def absorb(self, other: ProjectTally) -> None:
        """Add another one's counts and time."""
        self._busy_us += other.busy_us
        add_counts(self.targets, other.targets)
        add_counts(self.project_level, other.project_level)
        add_counts(self.status_codes, other.status_codes)

    def to_dict(self, account: str, project_id: str) -> dict[str, Any]:
        """Its row of the report; `project_level` is there where it has any such target."""
        level = {"project_level": targets_dict(self.project_level)} if self.project_level else {}
        return {
            "account": account,
            "project_id": project_id,
            "targets": targets_dict(self.targets),
            **level,
            "status_codes": status_codes_dict(self.status_codes),
            "duration_s": self.busy_us / 1e6,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `to_dict`; `ConfigError` naming the key that is at odds with the others."""
        project = cls(round(fields.number("duration_s") * 1e6))
        project.targets = read_targets(fields, "targets")
        project._read_level(fields)
        codes = fields.counts("status_codes")
        for key in codes:
            if key != "none" and not (key.isascii() and key.isdecimal() and len(key) <= 4 and str(int(key)) == key):
                raise fields.wrong("status_codes", f"{key[:60]!r} is not a status code")
        project.status_codes = {None if key == "none" else int(key): count for key, count in codes.items()}
        if sum(codes.values()) != project.sent:
            raise fields.wrong("status_codes", f"must add up to done, gone and failed ({project.sent})")
        return project

    def _read_level(self, fields: Fields) -> None:
        if "project_level" in fields:
            level = read_targets(fields, "project_level")
            if any(level[group] > self.targets[group] for group in GROUPS):
                raise fields.wrong("project_level", "is a part of the targets, and cannot be more of any kind")
            self.project_level = {group: count for group, count in level.items() if count}


def total(projects: Iterable[ProjectTally]) -> ProjectTally:
    """Several projects as one."""
    whole = ProjectTally()
    for project in projects:
        whole.absorb(project)
    return whole


def read_targets(fields: Fields, key: str) -> dict[str, int]:
    """Read back targets by group; `ConfigError` when `planned` is not their sum."""
    targets = fields.fields(key)
    groups = {group: targets.integer(group) for group in GROUPS}
    if targets.integer("planned") != sum(groups.values()):
        raise targets.wrong("planned", f"must be the sum of the groups ({sum(groups.values())})")
    return groups


def targets_dict(groups: Mapping[str, int]) -> dict[str, int]:
    """The five groups, of which those that are zero may be missing, with `planned`, their sum, in front."""
    return {"planned": sum(groups.values()), **{group: groups.get(group, 0) for group in GROUPS}}


def status_codes_dict(counts: Mapping[int | None, int]) -> dict[str, int]:
    """Status codes as JSON has them: by number, `"none"` at the end."""
    order = sorted(counts, key=lambda code: math.inf if code is None else code)
    return {"none" if code is None else str(code): counts[code] for code in order}


def add_counts(counts: dict[Any, int], more: Mapping[Any, int]) -> None:
    """Add counts, of whatever keys, to those that are there."""
    for key, count in more.items():
        counts[key] = counts.get(key, 0) + count
