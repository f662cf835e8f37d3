"""What was found by listing, and what could not be listed: counts, and one row for each project that is missing.

Bounded by the number of projects, whatever the number of pages that went wrong in them.
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from typing import Any, Self

from sdrs_async.models import Verdict
from sdrs_async.report.fields import Fields

__all__ = ["Discovery", "Unlisted"]


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A project whose groups or failed tasks could not be listed, or not to the end: verdict `incomplete`.

    `project_id` is `None` where the projects of the account themselves could not be listed; `status_code` is `None`
    when no answer came.
    """

    project_id: str | None
    account: str
    verdict: str
    status_code: int | None = None
    error_code: str | None = None
    message: str = ""

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `line`; `ConfigError` naming the key."""
        if (verdict := fields.text("verdict")) in (Verdict.READ, Verdict.DELETED):
            raise fields.wrong("verdict", f"{verdict} is no reason why a project could not be listed")
        return cls(
            fields.optional_text("project_id"),
            fields.text_if_there("account") or "",
            verdict,
            fields.optional_integer("status_code"),
            fields.text_if_there("error_code"),
            fields.text("message"),
        )

    def line(self) -> dict[str, Any]:
        """Its row of the report, JSON-serialisable."""
        shown = asdict(self)
        return {"account": shown.pop("account"), **shown, "verdict": str(self.verdict)}

    def order(self) -> tuple[tuple[bool, Any], ...]:
        """A key to sort by: account, then project, then what happened; `None` comes before everything else."""
        project_id, account, *what = astuple(self)
        return tuple((value is not None, value) for value in (account, project_id, *what))


class Discovery:
    """Counts of `projects` and `groups` that were listed, live, and what was not.

    Merging adds the counts; a project that is missing in several runs is one row all the same.
    """

    __slots__ = ("_failed", "groups", "projects")

    def __init__(self, projects: int = 0, groups: int = 0) -> None:
        self.projects = projects
        self.groups = groups
        self._failed: dict[tuple[str, str | None], Unlisted] = {}

    @property
    def failed(self) -> list[Unlisted]:
        """What was not wholly listed, by account and project."""
        return sorted(self._failed.values(), key=Unlisted.order)

    def add(self, unlisted: Unlisted) -> None:
        """Note a project, or an account, that was not wholly listed. Of several reasons the first in order stays."""
        key = unlisted.account, unlisted.project_id
        self._failed[key] = min(self._failed.get(key, unlisted), unlisted, key=Unlisted.order)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return not self._failed

    def absorb(self, other: Discovery) -> None:
        """Add another one's counts and gaps."""
        self.projects += other.projects
        self.groups += other.groups
        for unlisted in other._failed.values():
            self.add(unlisted)

    def to_dict(self) -> dict[str, Any]:
        """The section of the report."""
        failed = [unlisted.line() for unlisted in self.failed]
        return {"projects": self.projects, "groups": self.groups, "failed": failed}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `to_dict`; `ConfigError` naming the key."""
        discovery = cls(fields.integer("projects"), fields.integer("groups"))
        for line in fields.each("failed"):
            discovery.add(Unlisted.from_fields(line))
        return discovery
