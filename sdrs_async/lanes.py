"""Whose turn it is: a lane per project, round robin over the lanes that are due, under the gates they share.

No I/O, no task and no clock of its own: the engine asks `Fleet.take(now)` and is told a job, or to come back later.
Nothing waits here while it holds something: a job is given out only when its lane and every shared gate are due.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from sdrs_async.models import Limits, Rate, Reply, Target
from sdrs_async.pacing import Gate

__all__ = ["Fleet", "Job", "Lane"]


@dataclass(slots=True, eq=False)
class Job:
    """One target on its way: what was sent for it so far, and what came back."""

    target: Target
    lane: Lane
    sent: int = 0
    throttled: int = 0
    first_try: float = 0.0
    started: float = 0.0
    last: Reply | None = None
    last_answer: Reply | None = None
    renewed: bool = False
    lost: bool = False

    @property
    def tries(self) -> int:
        """Requests sent that count against the allowed attempts; throttled ones do not."""
        return self.sent - self.throttled


class Lane:
    """One project: its gate, its cap, the jobs that are ready and those that wait for their next try."""

    __slots__ = (
        "_later", "accepted", "cap", "forbidden", "gate", "in_flight", "place", "project_id", "ready", "stopped",
        "timed_out",
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
        self.timed_out = False
        self.accepted = False
        self.forbidden = 0

    def due(self, now: float) -> float:
        """When this lane may start its next request; `inf` when it has none, or only an answer can tell."""
        # A project whose tries time out keeps one slot, so that hanging projects cannot fill the fleet's cap.
        if self.in_flight >= (1 if self.timed_out else self.cap):
            return math.inf
        if not self.ready and not self._later:
            return math.inf
        work = 0.0 if self.ready else self._later[0][0]
        return max(work, self.gate.due(now))

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
        """Take out the waiting jobs whose time of `total` seconds ends before `until`."""
        late = [entry for entry in self._later if entry[2].first_try + total < until]
        if late:
            self._later = sorted(entry for entry in self._later if entry not in late)
        return [job for _, _, job in late]


class Fleet:
    """All lanes and the gates they share. A lane is in the ring (due), in the heap (due later), or in neither."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.lanes: dict[str, Lane] = {}
        self.user = Gate(Rate.parse(limits.user_rate))
        self.endpoint = Gate(Rate.parse(limits.endpoint_rate))
        self._shared = tuple(g for g, r in ((self.user, limits.user_rate), (self.endpoint, limits.endpoint_rate)) if r)
        self._ring: deque[Lane] = deque()
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
        job.lane.ready.append(job)
        if job.lane.place is None:
            self._place(job.lane, now)

    def retry(self, job: Job, due: float, now: float) -> None:
        """Try a job again at `due`."""
        self._order += 1
        job.lane.retry(job, due, self._order)
        self._place(job.lane, now)

    def take(self, now: float) -> Job | None:
        """The next job to start now, counted in all its scopes, or `None`; see `next_due`."""
        while self._heap and self._heap[0][0] <= now:
            due, _, lane = heappop(self._heap)
            if lane.place == due:
                lane.place = -1.0
                self._ring.append(lane)
        if self.closed or not self._ring or self.shared_due(now) > now:
            return None
        while self._ring:
            lane = self._ring.popleft()
            lane.place = None
            if lane.due(now) <= now:
                return self._start(lane, now)
            self._place(lane, now)
        return None

    def _start(self, lane: Lane, now: float) -> Job:
        job = lane.next_job(now)
        lane.gate.enter(now)
        for gate in self._shared:
            gate.enter(now)
        lane.in_flight += 1
        self._place(lane, now)
        job.started = now
        return job

    def leave(self, lane: Lane, now: float, round_trip: float | None) -> None:
        """A request of the lane was answered, or given up (`round_trip` None)."""
        lane.in_flight -= 1
        lane.gate.leave(now, round_trip)
        for gate in self._shared:
            gate.leave(now, round_trip)
        self._place(lane, now)

    def shared_due(self, now: float) -> float:
        """When the shared gates let the next one through."""
        return max(self.user.due(now), self.endpoint.due(now))

    def next_due(self, now: float) -> float:
        """When `take` is worth asking again; `inf` if only an event can change its answer."""
        if self.closed:
            return math.inf
        if self._ring:
            return self.shared_due(now)
        return self._heap[0][0] if self._heap else math.inf

    def _place(self, lane: Lane, now: float) -> None:
        """Put the lane where it belongs now: ring, heap or neither. Stale heap entries are known by their time."""
        due = lane.due(now)
        if lane.place == -1.0:
            return
        if due <= now:
            lane.place = -1.0
            self._ring.append(lane)
        elif due == math.inf:
            lane.place = None
        elif lane.place != due:
            self._order += 1
            lane.place = due
            heappush(self._heap, (due, self._order, lane))
