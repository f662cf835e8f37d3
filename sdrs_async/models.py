"""The plain data of a run: what is asked for, what the server said, what came of it. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sdrs_async.limits import Rate


class Verdict(StrEnum):
    """What an answer means; the verdict, not the number, decides what happens next."""

    DELETED = "deleted"
    READ = "read"
    GONE = "gone"
    REJECTED = "rejected"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    CONFLICT = "conflict"
    THROTTLED = "throttled"
    TRANSIENT = "transient"
    UNREACHABLE = "unreachable"
    SKIPPED = "skipped"
    UNSETTLED = "unsettled"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One protection group of one project, whose failed tasks are to be deleted."""

    project_id: str
    server_group_id: str


@dataclass(frozen=True, slots=True, order=True)
class ProjectLevel:
    """The failed tasks *of* a project's protection groups, whose creation or deletion failed; those inside are not it.

    One call deletes them (sdrs_05_0903). A type of its own: no target with an id missing can turn into it.
    """

    project_id: str

    @property
    def server_group_id(self) -> None:
        """It has none."""
        return None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page to GET, `path` and `query` percent-encoded. `at_iam`: of IAM; no `project_id`: the account itself."""

    path: str
    query: str = ""
    project_id: str = ""
    at_iam: bool = False


Call = Target | ProjectLevel | Listing
"""What one request can be about."""


@dataclass(slots=True)  # not frozen, as `Reply`: that alone costs a microsecond per request
class Request:
    """One request as it goes on the wire. Headers stay out of the repr: secrets.

    All is percent-encoded: `url` and its parts, `host` with the port that is sent, and `query` without question mark.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    host: str = ""
    path: str = ""
    query: str = ""


@dataclass(slots=True)
class Reply:
    """One classified answer to one request; `status_code` is `None` when no answer came.

    `retry_after`: seconds the server asked for; `scope`: whom a 429 holds (project, user or endpoint); `told`: the
    limit that a 429 names; `elapsed`: seconds from sending to the answer;
    `retryable`: false for what no second try can mend (a bad certificate); `timed_out`: no answer within the time;
    `lost`: no answer to what was sent, so that its work may be done;
    `sent`: false when nothing went out, because no credential could be had; `whole_account`: the refusal is one of the
    whole account; `data`: the JSON of a list that was read; `date`: the server's clock.
    """

    verdict: Verdict
    status_code: int | None = None
    error_code: str | None = None
    message: str = ""
    request_id: str | None = None
    retry_after: float | None = None
    scope: str = "project"
    told: Rate | None = None
    retryable: bool = True
    timed_out: bool = False
    lost: bool = False
    sent: bool = True
    whole_account: bool = False
    elapsed: float = 0.0
    data: Any = None
    date: datetime | None = None

    def condense(self, kept: Callable[[Any], object]) -> None:
        """Of its data there is from now on what `kept` makes of it."""
        self.data = kept(self.data)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one target. `elapsed`: seconds from its first try to its end; `latency`: of its last answer;
    `account`: the name of the account whose target it is.
    """

    target: Target | ProjectLevel
    verdict: Verdict
    status_code: int | None = None
    error_code: str | None = None
    message: str = ""
    request_id: str | None = None
    attempts: int = 0
    elapsed: float = 0.0
    latency: float | None = None
    throttled: int = 0
    account: str = ""
