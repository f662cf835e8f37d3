"""The failed targets that a report holds: a bounded number, chosen by their order and never by their arrival."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from sdrs_async.errors import check, is_whole
from sdrs_async.models import Outcome
from sdrs_async.report.fields import Fields

_SLACK = 64


class Failure(NamedTuple):
    """One failed target, in the order of its fields; -1 and "" stand for what JSON spells null.

    A project's own level has no `server_group_id`, and so comes before the groups of its project. `account`: the name
    of the one whose target it is, "" where it has none.
    """

    account: str
    project_id: str
    server_group_id: str
    verdict: str
    status_code: int
    error_code: str
    message: str
    request_id: str
    attempts: int

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """The part of an outcome that a report keeps."""
        target = outcome.target
        return cls(
            outcome.account,
            target.project_id,
            target.server_group_id or "",
            str(outcome.verdict),
            -1 if outcome.status_code is None else outcome.status_code,
            outcome.error_code or "",
            outcome.message,
            outcome.request_id or "",
            outcome.attempts,
        )

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `line`; `ConfigError` naming the key. Without a `level`, as it once was, it follows from the id."""
        group_id = fields.optional(fields.text, "server_group_id") or ""
        if "level" in fields and fields.text("level") != _level(group_id):
            raise fields.wrong("level", f"must be {_level(group_id)!r} with this server_group_id")
        status_code = fields.optional(fields.integer, "status_code")
        return cls(
            fields.if_there(fields.text, "account") or "",
            fields.text("project_id"),
            group_id,
            fields.text("verdict"),
            -1 if status_code is None else status_code,
            fields.optional(fields.text, "error_code") or "",
            fields.text("message"),
            fields.optional(fields.text, "request_id") or "",
            fields.integer("attempts"),
        )

    def line(self) -> dict[str, Any]:
        """The failure fields of the report."""
        return {
            "account": self.account,
            "project_id": self.project_id,
            "server_group_id": self.server_group_id or None,
            "level": _level(self.server_group_id),
            "verdict": self.verdict,
            "status_code": None if self.status_code < 0 else self.status_code,
            "error_code": self.error_code or None,
            "message": self.message,
            "request_id": self.request_id or None,
            "attempts": self.attempts,
        }


def failure_line(outcome: Outcome) -> dict[str, Any]:
    """The failure fields of the report for one outcome, JSON-serialisable; also the start of a results line."""
    return Failure.of(outcome).line()


def _level(group_id: str) -> str:
    return "group" if group_id else "project"


class Failures:
    """The first `limit` failures in their order; `None` keeps all. Adding is cheap: the rest goes in large steps."""

    __slots__ = ("_highest", "_kept", "limit")

    def __init__(self, limit: int | None) -> None:
        wanted = "a whole number of at least 0, or None"
        check(limit is None or is_whole(limit, least=0), "max_failures", wanted, limit)
        self.limit = limit
        self._kept: list[Failure] = []
        self._highest: Failure | None = None

    def add(self, failure: Failure) -> None:
        """Keep a failure, unless as many come before it."""
        if self._highest is not None and failure > self._highest:
            return
        self._kept.append(failure)
        if self.limit is not None and len(self._kept) >= 2 * self.limit + _SLACK:
            self.ordered()

    def ordered(self) -> list[Failure]:
        """The failures kept, in their order."""
        self._kept.sort()
        if self.limit is not None and len(self._kept) >= self.limit:
            del self._kept[self.limit :]
            self._highest = self._kept[-1] if self._kept else None
        return self._kept
