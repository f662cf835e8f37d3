"""What a report says of a run beside its targets: who was let in, what else was asked, how and when it ended.

Plain data. Each is a section of the report, read back from it, and merged by `|`, which is associative and commutative.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sdrs_async.report.fields import Fields, rfc3339


@dataclass(frozen=True, slots=True)
class Totals:
    """How many targets are `planned`, and what became of them: `planned` is the sum of the five that follow it."""

    planned: int
    done: int
    gone: int
    failed: int
    skipped: int
    unsettled: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Access:
    """Whether any account was let in, and any refused; `failed`: by the name of each account that was, why."""

    signed_in: bool = False
    refused: bool = False
    failed: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: Access) -> Access:
        """An account that signed in anywhere has signed in; of two reasons the first in order stays."""
        failed = dict(self.failed)
        for account, message in other.failed.items():
            failed[account] = min(failed.get(account, message), message)
        return Access(self.signed_in or other.signed_in, self.refused or other.refused, failed)

    def to_dict(self) -> dict[str, Any]:
        """The section `accounts`."""
        failed = [{"account": name, "message": self.failed[name]} for name in sorted(self.failed)]
        return {"signed_in": self.signed_in, "refused": self.refused, "failed": failed}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `to_dict`; `ConfigError` naming the key."""
        failed = fields.each("failed") if "failed" in fields else ()
        reasons = {one.text("account"): one.text("message") for one in failed}
        return cls(fields.flag("signed_in"), fields.flag("refused"), reasons)


OTHER_REQUESTS = ("reads", "reads_throttled", "sign_ins", "sign_ins_throttled", "sign_ins_refused")
"""Requests that were not for a target, in the section `requests`: those that only read, and sign-ins."""


def read_other_requests(fields: Fields) -> dict[str, int]:
    """By `OTHER_REQUESTS`, which older reports have not; `ConfigError` naming the key."""
    read = {key: fields.if_there(fields.integer, key) or 0 for key in OTHER_REQUESTS}
    if read["sign_ins_throttled"] + read["sign_ins_refused"] > read["sign_ins"]:
        raise fields.wrong("sign_ins", "must be at least as many as were throttled and refused")
    return read


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended before its end, if it did: `interrupted`, by the number of a `signal` or without one; `error`:
    what stopped it beside signals and refused accounts, and begins with `defect: ` where it is one."""

    interrupted: bool = False
    signal: int | None = None
    error: str | None = None

    def __or__(self, other: Ending) -> Ending:
        """Of two signals the higher number stays, of two errors the first in order."""
        both = (self, other)
        return Ending(
            self.interrupted or other.interrupted,
            max((one.signal for one in both if one.signal is not None), default=None),
            min((one.error for one in both if one.error is not None), default=None),
        )

    def to_dict(self) -> dict[str, Any]:
        """Its keys of the report."""
        return {"interrupted": self.interrupted, "interrupted_by": self.signal, "error": self.error}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `to_dict`; `ConfigError` naming the key."""
        read = cls(
            fields.flag("interrupted"),
            fields.if_there(fields.integer, "interrupted_by"),
            fields.if_there(fields.text, "error"),
        )
        if read.signal is not None and not (read.interrupted and 0 < read.signal < 128):
            raise fields.wrong("interrupted_by", "must be the number of the signal that interrupted the run")
        return read


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a run lasted, or several together: from the earliest start to the latest finish."""

    started_at: datetime
    finished_at: datetime

    def __or__(self, other: Span) -> Span:
        """The time from the first start to the last end."""
        return Span(min(self.started_at, other.started_at), max(self.finished_at, other.finished_at))

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.finished_at - self.started_at).total_seconds()

    def to_dict(self) -> dict[str, Any]:
        """Its keys of the report, times in RFC 3339."""
        times = {key: rfc3339(moment) for key, moment in asdict(self).items()}
        return {**times, "duration_s": self.seconds}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `to_dict`; `ConfigError` naming the key."""
        read = cls(fields.time("started_at"), fields.time("finished_at"))
        if read.finished_at < read.started_at:
            raise fields.wrong("finished_at", "is before started_at")
        return read


class Stopwatch:
    """The time of one run: it began when this was made or restarted, and lasts until it is stopped.

    `now`: seconds that only go forward.
    """

    __slots__ = ("_finished_at", "_start", "now", "started_at")

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.restart()

    @classmethod
    def stopped(cls, span: Span) -> Self:
        """One of a run that has ended."""
        watch = cls(time.monotonic)
        watch.started_at, watch._finished_at = span.started_at, span.finished_at
        return watch

    @property
    def span(self) -> Span:
        """From the start to the stop, until then to now."""
        now = self.started_at + timedelta(seconds=self.now() - self._start)
        return Span(self.started_at, self._finished_at or now)

    def restart(self) -> None:
        """The run begins now."""
        self.started_at, self._start = datetime.now(UTC), self.now()
        self._finished_at: datetime | None = None

    def stop(self) -> None:
        """The run has ended; once is enough."""
        self._finished_at = self.span.finished_at
