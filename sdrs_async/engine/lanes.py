"""What is on its way: a job per target, and a lane per project.

Plain state without I/O, task or clock; `fleet` decides whose turn it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Protocol

from sdrs_async.engine.users import User
from sdrs_async.models import Call, Reply
from sdrs_async.pace.meter import Gate

__all__ = ["Job", "Lane", "Slots"]

# Of a lane without work: 10^5 of them would fill 150 MB with empty queues.
_NONE: tuple[()] = ()


class Slots(Protocol):
    """Counts the targets that are held; told when one of them is settled."""

    def release(self) -> None:
        """One target is settled."""


@dataclass(slots=True, eq=False)
class Job:
    """One target, or one page of a list, on its way: what was sent for it so far, and what came back.

    `sent` counts its requests, `throttled` those of them that were answered 429, `unsigned` its tries that failed
    already at the sign-in; `lost` says that a request got no answer. `first_try` is the loop's time of the first try,
    `given_at` that of its last turn; `renewed` says that it was tried with a second credential. `tell`: who wants to
    know the reply of a page.
    """

    call: Call
    lane: Lane
    slots: Slots
    sent: int = 0
    throttled: int = 0
    unsigned: int = 0
    first_try: float = math.inf
    given_at: float = 0.0
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


class Lane:
    """One project of one user: its gate, its cap, the jobs that are `ready`; `later` those that wait for another try.

    `kin`: the lanes of other users at the same endpoint that reach the same project: they share its gate and its cap.
    `answered`: it has answered since its last time-out. Until then the project has one slot: one that hangs, or is
    closed to this credential, costs one request at first and not its whole cap. `timed_out`: it has not answered since
    its last time-out. `admitted`: it answered something other than a 429, `accepted`: than that it is forbidden;
    `forbidden`: how often it was that; `stopped`: why nothing more is sent for it; `signed_at` and `signed_until`: the
    loop's time from and until which it is signed in; `sign_in_at`: when to try that again after it has failed. `turn`:
    its entry in the line. `waiting_since`: when the first of those came that have made it have `ready` ones without a
    break.
    """

    __slots__ = (
        "accepted", "admitted", "answered", "cap", "forbidden", "gate", "in_flight", "kin", "later",
        "project_id", "ready", "sign_in_at", "signed_at", "signed_until", "stopped",
        "timed_out", "turn", "user", "waiting_since",
    )  # fmt: skip

    def __init__(self, project_id: str, user: User, kin: Iterable[Lane] = ()) -> None:
        self.project_id = project_id
        self.user = user
        self.kin = tuple(kin)
        self.gate: Gate = user.project_gate(self.kin[0].gate if self.kin else None)
        cap = user.limits.project_concurrency
        self.cap: float = min([math.inf if cap is None else cap, *(other.cap for other in self.kin)])
        for other in self.kin:
            other.join(self)
        self.in_flight = 0
        self.ready: deque[Job] | tuple[()] = _NONE
        self.later: list[tuple[float, int, Job]] = []
        self.waiting_since = 0.0
        self.turn = user.turn.line.project(self, user.turn)
        self.signed_until = math.inf if user.sign_in is None else -math.inf
        self.sign_in_at = 0.0
        self.signed_at = -math.inf
        self.stopped: str | None = None
        self.answered = False
        self.timed_out = False
        self.admitted = False
        self.accepted = False
        self.forbidden = 0

    def due(self) -> float:
        """When this lane may start its next request; `inf` when it has none, or only an answer can tell."""
        ready = self.ready
        if not ready and not self.later:
            return math.inf
        in_flight = self.in_flight
        if in_flight >= self.turn.line.share or in_flight >= (self.cap if self.answered else 1):
            return math.inf
        if self.kin and in_flight + sum(other.in_flight for other in self.kin) >= self.cap:
            return math.inf
        due = self.gate.due()
        due = self.sign_in_at if self.sign_in_at > due else due
        return due if ready else max(due, self.later[0][0])

    def join(self, other: Lane) -> None:
        """Share gate and cap with another lane too, under the lower of the two caps."""
        self.kin = (*self.kin, other)
        self.cap = min(self.cap, other.cap)

    def push(self, job: Job, now: float) -> None:
        """A new one; it goes behind those that are ready."""
        if self.ready:
            self.ready.append(job)
        else:
            self.ready, self.waiting_since = deque((job,)), now

    def next_job(self, now: float) -> Job:
        """The job whose turn it is: a try again that is due goes before a first try."""
        later = self.later
        ready: deque[Job] = self.ready  # type: ignore[assignment]
        if later and (later[0][0] <= now or not ready):
            return heappop(later)[2]
        job = ready.popleft()
        if not ready:
            self.ready = _NONE
        return job

    def retry(self, job: Job, due: float, order: int) -> None:
        """Try the job again at `due`; it holds no slot until then."""
        heappush(self.later, (due, order, job))

    def has_retries(self) -> bool:
        """Whether anything waits for another try."""
        return bool(self.later)

    def next_retry(self) -> float:
        """When the first of those that wait for another try may start."""
        return self.later[0][0]

    def drain(self) -> Iterator[Job]:
        """Take out everything that waits, in order."""
        while self.has_waiting():
            yield self.next_job(math.inf)

    def overdue(self, until: float, total: float) -> list[Job]:
        """Take out the jobs that wait for another try and whose time of `total` seconds is over by `until`."""
        if not self.later:
            return []
        late = [job for _, _, job in self.later if job.first_try + total <= until]
        if late:
            self.later = [entry for entry in self.later if entry[2].first_try + total > until]
            heapify(self.later)
        return late

    def untried(self) -> list[Job]:
        """Take out the jobs that were never tried."""
        jobs, self.ready = list(self.ready), _NONE
        return jobs

    def has_work(self) -> bool:
        """Whether anything of it is on the wire or waits."""
        return bool(self.in_flight or self.ready or self.later)

    def has_waiting(self) -> bool:
        """Whether `next_job` has one to give."""
        return bool(self.ready or self.later)

    def waiting(self) -> int:
        """How many there are of them."""
        return len(self.ready) + len(self.later)

    def earliest(self, due: float) -> float:
        """When a job that is due then can start, as far as the scopes tell by now."""
        for gate in (self.gate, self.user.gate, self.user.endpoint.gate):
            at = gate.due()
            if due < at < math.inf:
                due = at
        return due

    def held_until(self) -> float:
        """Until when a 429 holds this project or what it shares with others."""
        return max(self.gate.held_until, self.user.gate.held_until, self.user.endpoint.gate.held_until)

    def held(self, now: float) -> tuple[float, float]:
        """Until when nothing of it starts by the server's word, and since when: the extremes of all its scopes.

        Both are past, or now, where something may start or an answer decides.
        """
        held = [gate.held(now) for gate in (self.gate, self.user.gate, self.user.endpoint.gate)]
        if self.signed_until <= now:
            held.append(self.user.sign_ins.held(now))
        return max(until for until, _ in held), max(self.waiting_since, min(since for _, since in held))
