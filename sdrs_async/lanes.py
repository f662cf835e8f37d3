"""Whose turn it is: a lane per project, round robin over the lanes that are due, under the gates they share.

No I/O, no task and no clock of its own: the engine asks `Fleet.take(now)` and is told a job, or to come back later.
Nothing waits here while it holds something: a job is given out only when its lane and every shared gate are due.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Protocol

from sdrs_async.models import Limits, Rate, Reply, Target
from sdrs_async.pacing import Gate

__all__ = ["Fleet", "Job", "Lane", "Slots"]

_IN_RING, _PARKED = -1.0, -2.0


class Slots(Protocol):
    """Counts the targets that are held; told when one of them is settled."""

    def release(self) -> None:
        """One target is settled."""


@dataclass(slots=True, eq=False)
class Job:
    """One target on its way: what was sent for it so far, and what came back.

    `sent` counts its requests, `throttled` those of them that were answered 429; `lost` says that one got no answer.
    `first_try` is the loop's time of the first; `renewed` says that it was tried with a second credential.
    """

    target: Target
    lane: Lane
    slots: Slots
    sent: int = 0
    throttled: int = 0
    first_try: float = 0.0
    last: Reply | None = None
    last_answer: Reply | None = None
    renewed: bool = False
    lost: bool = False

    @property
    def tries(self) -> int:
        """Requests sent that count against the allowed attempts; throttled ones do not."""
        return self.sent - self.throttled


class Lane:
    """One project: its gate, its cap, the jobs that are ready and those that wait for their next try.

    `answered`: it has answered since its last time-out. Until then the project has one slot: one that hangs, or is
    closed to this credential, costs one request at first and not its whole cap. `timed_out`: it has not answered since
    then; `accepted`: it has answered something else than 403; `forbidden`: how often it was that;
    `stopped`: why nothing more is sent for it; `active`: it has work, on the wire or waiting.
    """

    __slots__ = (
        "_later", "accepted", "active", "answered", "cap", "forbidden", "gate", "in_flight", "place", "project_id",
        "ready", "stopped", "timed_out",
    )  # fmt: skip

    def __init__(self, project_id: str, rate: Rate | None, cap: int | None) -> None:
        self.project_id = project_id
        self.gate = Gate(rate)
        self.cap = math.inf if cap is None else cap
        self.in_flight = 0
        self.ready: deque[Job] = deque()
        self._later: list[tuple[float, int, Job]] = []
        self.place: float | None = None
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


class Fleet:
    """All lanes and the gates they share. A lane is in the ring (due), in the heap (due later), parked, or in neither.

    Two rules keep slow projects from filling the fleet's cap: no lane holds more than its share of it, the cap divided
    by the lanes that have work, rounded up; and those that timed out fill no more than a quarter of it, the rest of
    them is parked until one of these is answered.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.lanes: dict[str, Lane] = {}
        self.user = Gate(Rate.parse(limits.user_rate))
        self.endpoint = Gate(Rate.parse(limits.endpoint_rate))
        self._shared = tuple(g for g, r in ((self.user, limits.user_rate), (self.endpoint, limits.endpoint_rate)) if r)
        self._cap = limits.concurrency
        self._active = 0
        self._share = math.inf
        self._ring: deque[Lane] = deque()
        self._parked: deque[Lane] = deque()
        self._hanging: set[Lane] = set()
        self._hanging_cap = max(1, self._cap // 4) if self._cap else math.inf
        self._heap: list[tuple[float, int, Lane]] = []
        self._order = 0
        self.closed = False

    def lane(self, project_id: str) -> Lane:
        """The lane of a project, made on first sight."""
        lane = self.lanes.get(project_id)
        if lane is None:
            lane = Lane(project_id, Rate.parse(self._limits.project_rate), self._limits.project_concurrency)
            self.lanes[project_id] = lane
        return lane

    def push(self, job: Job, now: float) -> None:
        """A new target; it goes behind those of its project."""
        lane = job.lane
        lane.ready.append(job)
        if not lane.active:
            lane.active = True
            self._count(1)
        if len(lane.ready) == 1:
            self._place(lane, now)

    def retry(self, job: Job, due: float, now: float) -> None:
        """Try a job again at `due`."""
        self._order += 1
        job.lane.retry(job, due, self._order)
        self._place(job.lane, now)

    def take(self, now: float) -> Job | None:
        """The next job to start now, counted in all its scopes, or `None`; see `next_due`."""
        while self._heap and self._heap[0][0] <= now:
            due, _, waiting = heappop(self._heap)
            if waiting.place == due:
                self._enter_ring(waiting)
        if self.closed or self.shared_due() > now:
            return None
        while (lane := self._next_lane()) is not None:
            lane.place = None
            if lane.timed_out and len(self._hanging) >= self._hanging_cap:
                lane.place = _PARKED
                self._parked.append(lane)
            elif lane.due(self._share) <= now:
                return self._start(lane, now)
            else:
                self._place(lane, now)
        return None

    def _next_lane(self) -> Lane | None:
        if self._ring:
            return self._ring.popleft()
        # Whoever was let in for one that hung may have had nothing to start: the next one may.
        return self._parked.popleft() if self._parked and len(self._hanging) < self._hanging_cap else None

    def leave(self, lane: Lane, now: float) -> None:
        """A request of the lane was answered, or given up; what is known of the lane by then says where it goes."""
        lane.in_flight -= 1
        lane.gate.leave(now)
        for gate in self._shared:
            gate.leave(now)
        if self._parked:
            self._unpark(lane)
        self._hanging.discard(lane)
        self.rest(lane)
        self._place(lane, now)

    def rest(self, lane: Lane) -> None:
        """Give the share of a lane that has run out of work to the others."""
        if lane.active and not lane.has_work():
            lane.active = False
            self._count(-1)

    def _count(self, more: int) -> None:
        self._active += more
        self._share = -(-self._cap // self._active) if self._cap and self._active else math.inf

    def _unpark(self, lane: Lane) -> None:
        """This lane has been answered, or one that hung has left a place for the next."""
        if lane.place == _PARKED and not lane.timed_out:
            self._parked.remove(lane)
            self._enter_ring(lane)
        elif lane in self._hanging:
            self._enter_ring(self._parked.popleft())

    def shared_due(self) -> float:
        """When the shared gates let the next one through."""
        user, endpoint = self.user.due(), self.endpoint.due()
        return user if user > endpoint else endpoint

    def held(self, now: float) -> tuple[int, float]:
        """How many scopes wait because of a 429, and the seconds until the last of them goes on."""
        gates = (self.user, self.endpoint, *(lane.gate for lane in self.lanes.values()))
        waits = [gate.held_until - now for gate in gates if gate.held_until > now]
        return len(waits), max(waits, default=0.0)

    def earliest(self, lane: Lane, due: float) -> float:
        """When a job of this lane that is due then can start, as far as its scopes tell by now."""
        for gate in (lane.gate, self.user, self.endpoint):
            at = gate.due()
            if due < at < math.inf:
                due = at
        return due

    def held_until(self, lane: Lane) -> float:
        """Until when a 429 holds this lane or what it shares with others."""
        return max(lane.gate.held_until, self.user.held_until, self.endpoint.held_until)

    def next_due(self) -> float:
        """When `take` is worth asking again; `inf` if only an event can change its answer."""
        if self.closed:
            return math.inf
        if self._ring:
            return self.shared_due()
        return self._heap[0][0] if self._heap else math.inf

    def _start(self, lane: Lane, now: float) -> Job:
        job = lane.next_job(now)
        lane.gate.enter(now)
        for gate in self._shared:
            gate.enter(now)
        lane.in_flight += 1
        if lane.timed_out:
            self._hanging.add(lane)
        self._place(lane, now)
        return job

    def _place(self, lane: Lane, now: float) -> None:
        """Put the lane where it belongs now: ring, heap or neither. Stale heap entries are known by their time."""
        if lane.place in (_IN_RING, _PARKED):
            return
        due = lane.due(self._share)
        if due <= now:
            self._enter_ring(lane)
        elif due == math.inf:
            lane.place = None
        elif lane.place != due:
            self._order += 1
            lane.place = due
            heappush(self._heap, (due, self._order, lane))

    def _enter_ring(self, lane: Lane) -> None:
        lane.place = _IN_RING
        self._ring.append(lane)
