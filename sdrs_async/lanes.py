"""What is on its way: a job per target, a lane per project, and the user whose credential its projects share.

Plain state without I/O, task or clock; `fleet` decides whose turn it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Protocol

from sdrs_async.models import Call, Limits, Rate, Reply
from sdrs_async.pacing import Gate

__all__ = ["Job", "Key", "Lane", "Send", "SignIn", "Slots", "User"]


class Send(Protocol):
    """One request on the wire, one classified reply within `timeout` seconds."""

    async def __call__(self, call: Call, timeout: float, /) -> Reply:  # noqa: ASYNC109 - the HTTP client enforces it
        """Never raises for what a server or network does: that is data."""
        ...


SignIn = Callable[[str, float], Awaitable[float | Reply]]
"""Signs in to a project within so many seconds: the seconds for which that is good, or what went wrong."""


class Slots(Protocol):
    """Counts the targets that are held; told when one of them is settled."""

    def release(self) -> None:
        """One target is settled."""


@dataclass(slots=True, eq=False)
class Job:
    """One target, or one page of a list, on its way: what was sent for it so far, and what came back.

    `sent` counts its requests, `throttled` those of them that were answered 429, `unsigned` its tries that failed
    already at the sign-in; `lost` says that a request got no answer. `first_try` is the loop's time of the first try;
    `renewed` says that it was tried with a second credential. `tell`: who wants to know the reply of a page.
    """

    call: Call
    lane: Lane
    slots: Slots
    sent: int = 0
    throttled: int = 0
    unsigned: int = 0
    first_try: float = math.inf
    last: Reply | None = None
    last_answer: Reply | None = None
    renewed: bool = False
    lost: bool = False
    tell: Callable[[Reply], None] | None = None

    def forget(self) -> None:
        """What was sent until now was not for this target: it is as if it had never been tried."""
        self.sent = self.throttled = self.unsigned = 0
        self.first_try, self.last, self.last_answer, self.lost = math.inf, None, None, False

    @property
    def tries(self) -> int:
        """Tries that count against the allowed attempts; throttled ones do not."""
        return self.sent - self.throttled + self.unsigned


class Key:
    """An access key, which a few refusals lock; all users that sign with it share its fate.

    `proven`: no read has to prove it (any more); `cap`: requests at a time, few of them until an answer has shown that
    it is good.
    """

    __slots__ = ("cap", "in_flight", "proven", "users")

    def __init__(self) -> None:
        self.cap: float = 1
        self.in_flight = 0
        self.proven = False
        self.users: list[User] = []


class User:
    """One credential at one endpoint: what its projects share.

    `gate` and `endpoint` limit its requests, `sign_ins` waits when IAM throttles; `sign_in` is `None` where nobody has
    to sign in, `key` where there is no key to be locked. `ring`: lanes that are due; `unsigned`: lanes that wait for a
    sign-in, `signing`: how many sign-ins are under way, `has_token`: one has succeeded, `silent_since`: when the first
    began that failed; `stopped`: why nothing more is sent; `signed_in`, `refused`: whether it was ever let in, and why
    it was not.
    """

    __slots__ = (
        "_gates", "endpoint", "gate", "has_token", "in_flight", "key", "limits", "name", "refused", "ring", "send",
        "sign_in", "sign_ins", "signed_in", "signing", "silent_since", "stopped", "unsigned",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        send: Send,
        limits: Limits,
        endpoint: Gate,
        *,
        sign_in: SignIn | None = None,
        key: Key | None = None,
    ) -> None:
        self.name = name
        self.send = send
        self.sign_in = sign_in
        self.limits = limits
        self.gate = Gate(Rate.parse(limits.user_rate))
        self.endpoint = endpoint
        self._gates = [gate for gate in (self.gate, endpoint) if gate.limited]
        self.sign_ins = Gate(None)
        self.key = key
        if key is not None:
            key.users.append(self)
        self.in_flight = 0
        self.ring: deque[Lane] = deque()
        self.unsigned: deque[Lane] = deque()
        self.signing = 0
        self.has_token = False
        self.silent_since = math.inf
        self.stopped: str | None = None
        self.signed_in = False
        self.refused: str | None = None

    def due(self) -> float:
        """When the next request of any of its projects may start; `inf` if only an answer can tell."""
        if self.key is not None and self.key.in_flight >= self.key.cap:
            return math.inf
        user, endpoint = self.gate.due(), self.endpoint.due()
        return user if user > endpoint else endpoint

    def enter(self, now: float) -> None:
        """One request starts."""
        self.in_flight += 1
        if self.key is not None:
            self.key.in_flight += 1
        for gate in self._gates:
            gate.enter(now)

    def leave(self, now: float) -> None:
        """One request was answered, or given up."""
        self.in_flight -= 1
        if self.key is not None:
            self.key.in_flight -= 1
        for gate in self._gates:
            gate.leave(now)

    def prove(self) -> None:
        """An answer came from behind the sign-in."""
        self.signed_in = True
        if self.key is not None:
            self.key.proven, self.key.cap = True, math.inf

    def needs_proof(self) -> bool:
        """Whether a read has to show that the key is good before anything else is sent."""
        return self.key is not None and not self.key.proven

    def is_known(self) -> bool:
        """Whether an answer has shown that the credential is good."""
        return self.signed_in and (self.key is None or self.key.cap == math.inf)


class Lane:
    """One project: its gate, its cap, the jobs that are ready and those that wait for their next try.

    `answered`: it has answered since its last time-out. Until then the project has one slot: one that hangs, or is
    closed to this credential, costs one request at first and not its whole cap. `timed_out`: it has not answered since
    its last time-out. `accepted`: it answered something other than that it is forbidden, `forbidden`: how often it was
    that; `stopped`: why nothing more is sent for it; `active`: it has work, on the wire or waiting; `signed_at` and
    `signed_until`: the loop's time from and until which it is signed in; `sign_in_at`: when to try that again after it
    has failed.
    """

    __slots__ = (
        "_later", "accepted", "active", "answered", "cap", "forbidden", "gate", "in_flight", "place", "project_id",
        "ready", "sign_in_at", "signed_at", "signed_until", "stopped", "timed_out", "user",
    )  # fmt: skip

    def __init__(self, project_id: str, user: User) -> None:
        self.project_id = project_id
        self.user = user
        self.gate = Gate(Rate.parse(user.limits.project_rate))
        cap = user.limits.project_concurrency
        self.cap = math.inf if cap is None else cap
        self.in_flight = 0
        self.ready: deque[Job] = deque()
        self._later: list[tuple[float, int, Job]] = []
        self.place: float | None = None
        self.signed_until = math.inf if user.sign_in is None else -math.inf
        self.sign_in_at = 0.0
        self.signed_at = -math.inf
        self.stopped: str | None = None
        self.active = False
        self.answered = False
        self.timed_out = False
        self.accepted = False
        self.forbidden = 0

    def due(self, share: float) -> float:
        """When this lane may start its next request, with at most `share` of them on the wire.

        `inf` when it has none, or only an answer can tell.
        """
        if self.in_flight >= share or self.in_flight >= (self.cap if self.answered else 1):
            return math.inf
        due = self.gate.due()
        due = self.sign_in_at if self.sign_in_at > due else due
        if self.ready:
            return due
        return max(due, self._later[0][0]) if self._later else math.inf

    def next_job(self, now: float) -> Job:
        """The job whose turn it is: a try again that is due goes before a first try."""
        if self._later and (self._later[0][0] <= now or not self.ready):
            return heappop(self._later)[2]
        return self.ready.popleft()

    def retry(self, job: Job, due: float, order: int) -> None:
        """Try the job again at `due`; it holds no slot until then."""
        heappush(self._later, (due, order, job))

    def next_retry(self) -> float:
        """When the first of those that wait for another try may start."""
        return self._later[0][0]

    def drain(self) -> Iterator[Job]:
        """Take out everything that waits, in order."""
        while self._later:
            yield heappop(self._later)[2]
        while self.ready:
            yield self.ready.popleft()

    def overdue(self, until: float, total: float) -> list[Job]:
        """Take out the jobs that wait for another try and whose time of `total` seconds is over by `until`."""
        late = [job for _, _, job in self._later if job.first_try + total <= until]
        if late:
            self._later = [entry for entry in self._later if entry[2].first_try + total > until]
            heapify(self._later)
        return late

    def has_work(self) -> bool:
        """Whether anything of it is on the wire or waits."""
        return bool(self.in_flight or self.ready or self._later)

    def has_waiting(self) -> bool:
        """Whether `next_job` has one to give."""
        return bool(self.ready or self._later)
