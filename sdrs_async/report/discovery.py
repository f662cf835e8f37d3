"""What was found by listing, what was left out, and what could not be listed: counts, and a row per missing project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any, Self

from sdrs_async.models import Verdict
from sdrs_async.report.fields import Fields

_SHOWN = 12


def in_words(reasons: Mapping[str, int]) -> str:
    """How many projects were left out for each of these reasons, the most frequent first; what a server named as it is.

    Of many reasons the last ones are one sum.
    """
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{reason}: {count:,}" for reason, count in ordered[:_SHOWN]]
    rest = sum(count for _, count in ordered[_SHOWN:])
    return "; ".join([*words, f"for other reasons: {rest:,}"] if rest else words)


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
            fields.optional(fields.text, "project_id"),
            fields.if_there(fields.text, "account") or "",
            verdict,
            fields.optional(fields.integer, "status_code"),
            fields.if_there(fields.text, "error_code"),
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

    `left_out`: how many projects nothing was looked for in, by account and reason. Merging adds the counts; a project
    that is missing in several runs is one row all the same.
    """

    __slots__ = ("_failed", "groups", "left_out", "projects")

    def __init__(self, projects: int = 0, groups: int = 0) -> None:
        self.projects = projects
        self.groups = groups
        self.left_out: Counter[tuple[str, str]] = Counter()
        self._failed: dict[tuple[str, str | None], Unlisted] = {}

    @property
    def failed(self) -> list[Unlisted]:
        """What was not wholly listed, by account and project."""
        return sorted(self._failed.values(), key=Unlisted.order)

    def add_listed(self, groups: int, projects: int = 0) -> None:
        """Count groups, and projects, that were found by listing; whether they are planned is another matter."""
        self.groups += groups
        self.projects += projects

    def add_left_out(self, account: str, reasons: Mapping[str, int]) -> None:
        """Count projects of an account in which nothing was looked for, by the reason."""
        self.left_out.update({(account, reason): projects for reason, projects in reasons.items()})

    def add(self, unlisted: Unlisted) -> None:
        """Note a project, or an account, that was not wholly listed. Of several reasons the first in order stays."""
        key = unlisted.account, unlisted.project_id
        self._failed[key] = min(self._failed.get(key, unlisted), unlisted, key=Unlisted.order)

    def absorb(self, other: Discovery) -> None:
        """Add another one's counts and gaps."""
        self.projects += other.projects
        self.groups += other.groups
        self.left_out.update(other.left_out)
        for unlisted in other._failed.values():
            self.add(unlisted)

    def to_dict(self) -> dict[str, Any]:
        """The section of the report."""
        failed = [unlisted.line() for unlisted in self.failed]
        left_out = [
            {"account": account, "reason": reason, "projects": projects}
            for (account, reason), projects in sorted(self.left_out.items())
        ]
        return {"projects": self.projects, "groups": self.groups, "left_out": left_out, "failed": failed}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `to_dict`; `ConfigError` naming the key."""
        discovery = cls(fields.integer("projects"), fields.integer("groups"))
        for line in fields.each("left_out") if "left_out" in fields else ():
            discovery.left_out[line.text("account"), line.text("reason")] += line.integer("projects")
        for line in fields.each("failed"):
            discovery.add(Unlisted.from_fields(line))
        return discovery
