"""What is on its way: a job per target, and a lane per project."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, cast

from sdrs_async.cloud import events
from sdrs_async.engine.access import Access
from sdrs_async.engine.users import User
from sdrs_async.models import Call, Listing, Outcome, ProjectLevel, Reply, Target, Verdict
from sdrs_async.pace.meter import Gate

if TYPE_CHECKING:
    from sdrs_async.engine.intake import Budget

# Of a lane without work: 10^5 of them would fill 150 MB with empty queues.
_NONE: tuple[()] = ()
_NO_RETRIES: list[tuple[float, int, Job]] = []
# Of a lane whose user signs each request by itself.
_ALWAYS = Access(math.inf)
_NOT_SENT = frozenset({Verdict.SKIPPED, Verdict.UNSETTLED})
# What a project answers that may be read and not cleaned.
_NO_PERMISSION = frozenset({Verdict.FORBIDDEN, Verdict.READ})


@dataclass(slots=True, eq=False)
class Job:
    """One target, or one page of a list, on its way: what was sent for it so far, and what came back.

    `sent` counts its requests, `throttled` those of them that were answered 429, `unsigned` its tries that failed
    already at the sign-in; `lost` says that a request got no answer. `first_try` is the loop's time of the first try,
    `given_at` that of its last turn; `renewed` says that it was tried with a second credential. `budget`: what a target
    is held by; `answer`: of a page, for who asked for it.
    """

    call: Call
    lane: Lane
    budget: Budget | None
    sent: int = 0
    throttled: int = 0
    unsigned: int = 0
    first_try: float = math.inf
    given_at: float = 0.0
    last: Reply | None = None
    last_answer: Reply | None = None
    renewed: bool = False
    lost: bool = False
    answer: asyncio.Future[Reply] | None = None

    def forget(self) -> None:
        """What was sent until now was not for this target: it is as if it had never been tried."""
        self.sent = self.throttled = self.unsigned = 0
        self.first_try, self.last, self.last_answer, self.lost = math.inf, None, None, False

    def outcome(self, verdict: Verdict, message: str, told: Reply | None, now: float) -> Outcome:
        """What came of the target; `told`: tells the error code where no answer of the service to it does."""
        answer = self.last_answer
        final = answer if verdict not in _NOT_SENT else None
        # Of a sign-in that failed there is no answer of the service, but perhaps IAM's word for why.
        code = final or told
        return Outcome(
            cast(Target | ProjectLevel, self.call),
            verdict,
            final.status_code if final else None,
            code.error_code if code else None,
            message,
            answer.request_id if answer else None,
            self.sent,
            now - self.first_try if self.sent else 0.0,
            final.elapsed if final else None,
            self.throttled,
            self.lane.user.name,
        )

    @property
    def tries(self) -> int:
        """Tries that count against the allowed attempts; throttled ones do not."""
        return self.sent - self.throttled + self.unsigned


class Backlog:
    """What waits of a project: the jobs that are `ready`, and those that wait for another try, `later`.

    `since`: when the first of those came that have made it have `ready` ones without a break.
    """

    __slots__ = ("later", "ready", "since")

    def __init__(self) -> None:
        self.ready: deque[Job] | tuple[()] = _NONE
        self.later = _NO_RETRIES
        self.since = 0.0

    def __len__(self) -> int:
        return len(self.ready) + len(self.later)

    def push(self, job: Job, now: float) -> bool:
        """A new one; it goes behind those that are ready. Whether it is the first of them."""
        if self.ready:
            self.ready.append(job)
            return False
        self.ready, self.since = deque((job,)), now
        return True

    def take(self, now: float) -> Job:
        """The job whose turn it is: a try again that is due goes before a first try."""
        later, ready = self.later, self.ready
        if later and (later[0][0] <= now or not ready):
            return heappop(later)[2]
        job: Job = ready.popleft()  # type: ignore[union-attr]  # who takes knows that there is one
        if not ready:
            self.ready = _NONE
        return job

    def retry(self, job: Job, due: float, order: int) -> None:
        """Try the job again at `due`; it holds no slot until then."""
        if not self.later:
            self.later = []
        heappush(self.later, (due, order, job))

    def next_retry(self) -> float:
        """When the first of those that wait for another try may start."""
        return self.later[0][0] if self.later else math.inf

    def drain(self) -> Iterator[Job]:
        """Take out everything that waits, in order."""
        while self.ready or self.later:
            yield self.take(math.inf)

    def withdraw(self, late: Callable[[Job], bool]) -> list[Job]:
        """Take out those that wait for another try and are too late for it."""
        out = [job for _, _, job in self.later if late(job)]
        if out:
            gone = set(out)
            self.later = [entry for entry in self.later if entry[2] not in gone]
            heapify(self.later)
        return out

    def untried(self) -> Iterator[Job]:
        """Take out those that were never tried, in order."""
        jobs, self.ready = self.ready, _NONE
        return iter(jobs)


class Record:
    """What replies have told of a project.

    `answered`: it has answered since its last time-out. Until then it has one slot: one that hangs, or is closed to
    this credential, costs one request at first and not its whole cap. `timed_out`: it has not answered since its last
    time-out. `admitted`: it answered something other than a 429, `accepted`: than that it is forbidden; `forbidden`:
    how often it was that; `stopped`: why nothing more is sent for it.
    """

    __slots__ = ("accepted", "admitted", "answered", "forbidden", "stopped", "timed_out")

    def __init__(self) -> None:
        self.answered = self.timed_out = self.admitted = self.accepted = False
        self.forbidden = 0
        self.stopped: str | None = None

    def note(self, reply: Reply) -> bool:
        """A request was answered, or given up; whether it is the first answer that is no 429."""
        if reply.status_code is None:
            if reply.timed_out:
                self.answered, self.timed_out = False, True
            return False
        verdict = reply.verdict
        self.answered, self.timed_out = True, False
        self.accepted = self.accepted or verdict not in _NO_PERMISSION
        self.forbidden += verdict is Verdict.FORBIDDEN
        first = not self.admitted and verdict is not Verdict.THROTTLED
        self.admitted = self.admitted or first
        return first

    def stop(self, reason: str) -> bool:
        """Nothing more is sent, for this reason unless there is one already; whether that is new."""
        if new := self.stopped is None:
            self.stopped = reason
        return new


class Lane:
    """One project of one user: its gate, its cap, what waits of it (`backlog`), what it answered (`record`),
    whether it is signed in to (`access`).

    `kin`: the lanes of other users at the same endpoint that reach the same project: they share its gate and its cap.
    `turn`: its entry in the line.
    """

    __slots__ = (
        "access", "backlog", "cap", "gate", "in_flight", "kin", "project_id", "record", "turn", "user",
    )  # fmt: skip

    def __init__(self, project_id: str, user: User, kin: Iterable[Lane] = ()) -> None:
        self.project_id = project_id
        self.user = user
        self.kin = tuple(kin)
        self.gate: Gate = user.projects.gate(self.kin[0].gate if self.kin else None)
        self.cap: float = min([user.projects.cap, *(other.cap for other in self.kin)])
        for other in self.kin:
            other.join(self)
        self.in_flight = 0
        self.backlog = Backlog()
        self.record = Record()
        self.access = Access(-math.inf) if user.sign_ins.sign_in is not None else _ALWAYS
        self.turn = user.turn.line.behind(user.turn, self, last=True)

    def join(self, other: Lane) -> None:
        """Share gate and cap with another lane too, under the lower of the two caps."""
        self.kin = (*self.kin, other)
        self.cap = min(self.cap, other.cap)

    def has_work(self) -> bool:
        """Whether anything of it is on the wire or waits."""
        return bool(self.in_flight or self.backlog.ready or self.backlog.later)

    # ---- turns

    def due(self) -> float:
        """When this lane may start its next request; `inf` when it has none, or only an answer can tell."""
        backlog, in_flight = self.backlog, self.in_flight
        ready, later = backlog.ready, backlog.later
        if not (ready or later) or in_flight >= self.turn.line.share:
            return math.inf
        if self.gate.traffic.out >= self.cap or (in_flight and not self.record.answered):
            return math.inf
        due, retry_at = self.gate.due(), self.access.retry_at
        due = retry_at if retry_at > due else due
        return due if ready else max(due, later[0][0])

    def start(self, now: float) -> Job:
        """Take the job whose turn it is, with a place in every scope."""
        job, user = self.backlog.take(now), self.user
        job.given_at = now
        # Scope by scope, here and in `leave`: no turn is cheaper than its calls.
        self.in_flight += 1
        self.gate.enter(now)
        user.gate.enter(now)
        if user.key is not None:
            user.key.out += 1
        user.endpoint.gate.enter(now)
        return job

    def leave(self, now: float, late: float) -> None:
        """Give the places of a request back: it was answered, or given up.

        `late`: seconds for which the server may still count it.
        """
        user = self.user
        self.in_flight -= 1
        self.gate.leave(now, late)
        user.gate.leave(now, late)
        if user.key is not None:
            user.key.out -= 1
        user.endpoint.gate.leave(now, late)

    # ---- the scopes that its requests pass through

    def note(self, job: Job, reply: Reply, now: float) -> None:
        """A request of this job was answered, or given up: what that tells of job, project, user and all scopes."""
        user, verdict = self.user, reply.verdict
        job.last = reply
        if reply.sent:
            job.throttled += verdict is Verdict.THROTTLED
        else:
            job.unsigned += verdict is not Verdict.THROTTLED
        if not user.standing.signed_in or user.key is not None or verdict is Verdict.UNAUTHORIZED:
            user.note(reply)
        if self.record.note(reply):
            user.projects.admit()
        if reply.status_code is None:
            job.lost = job.lost or reply.lost
            return
        job.last_answer = reply
        if not isinstance(job.call, Listing):
            user.endpoint.crowd.add(now, reply.elapsed, user.endpoint.gate.traffic.out)
        if verdict is not Verdict.THROTTLED:
            for gate in (self.gate, user.gate, user.endpoint.gate):
                gate.accept(now, job.given_at)

    def stop(self, reason: str) -> list[Job]:
        """Nothing more is sent for it, for this reason; return what waits."""
        waiting = list(self.backlog.drain())
        if self.record.stop(reason) and self.user.standing.stopped is None:  # else it is said of all of them at once
            events.stopped(f"project {self.project_id} of {self.user.called}", reason, len(waiting))
        return waiting

    def refused(self, reply: Reply, now: float, sent_at: float) -> tuple[Gate, str]:
        """The gate of the scope that a 429 names, to a request that was sent at `sent_at`; and what to call it.

        One that names none is the project's, unless what projects were refused shows that it is the user's.
        """
        user = self.user
        unnamed = reply.scope == "project" and reply.told is None
        if reply.scope == "user" or (unnamed and user.projects.turn_away(self, now, sent_at)):
            return user.gate, f"every project of {user.called}"
        if reply.scope == "endpoint":
            return user.endpoint.gate, "the endpoint"
        return self.gate, f"project {self.project_id}"

    def behind(self, gate: Gate) -> list[Lane]:
        """The lanes that wait when this gate does, which is one of its own scopes'."""
        if gate is self.gate:
            return [self, *self.kin]
        if gate is self.user.gate:
            return list(self.user.lanes.values())
        return [other for user in self.user.endpoint.users for other in user.lanes.values()]

    def earliest(self, due: float) -> float:
        """When a job that is due then can start, as far as the scopes tell by now."""
        for gate in (self.gate, self.user.gate, self.user.endpoint.gate):
            at = gate.due()
            at = gate.held_until if at == math.inf else at
            due = at if at > due else due
        return due

    def held_until(self) -> float:
        """Until when a 429 holds this project or what it shares with others."""
        return max(self.gate.held_until, self.user.gate.held_until, self.user.endpoint.gate.held_until)

    def held(self, now: float) -> tuple[float, float]:
        """Until when nothing of it starts by the server's word, and since when: the extremes of all its scopes.

        Both are past, or now, where something may start or an answer decides.
        """
        held = [gate.held(now) for gate in (self.gate, self.user.gate, self.user.endpoint.gate)]
        if self.access.until <= now:
            held.append((self.user.sign_ins.held_until, min(self.user.sign_ins.held_since, now)))
        return max(until for until, _ in held), max(self.backlog.since, min(since for _, since in held))
