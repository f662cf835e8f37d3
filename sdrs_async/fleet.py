"""Whose turn it is: round robin over the users, and over the lanes of each that are due, under the gates they share.

No I/O, no task and no clock of its own: the engine asks `Fleet.take(now)` and is told a job, or to come back later.
Nothing waits here while it holds something: a job is given out only when its lane and every shared gate are due.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush

from sdrs_async.errors import ConfigError
from sdrs_async.lanes import Job, Key, Lane, Send, SignIn, User
from sdrs_async.models import Limits, Rate
from sdrs_async.pacing import Gate

__all__ = ["Fleet"]

_IN_RING, _PARKED, _UNSIGNED = -1.0, -2.0, -3.0


class Fleet:
    """All users, lanes and gates; they outlive a run. A lane is in its user's ring (due), in the heap (due later),
    parked, waits for a sign-in, or is in none of these.

    Two rules keep slow projects from filling the fleet's cap: no lane holds more than its share of it, the cap divided
    by the lanes that have work, rounded up; and those that timed out fill no more than a quarter of it, the rest of
    them is parked until one of these is answered.
    """

    def __init__(self, concurrency: int | None) -> None:
        self.cap = concurrency
        self.users: deque[User] = deque()
        self.lanes: dict[object, Lane] = {}
        self.unsigned: deque[Lane] = deque()
        self._endpoints: dict[str, Gate] = {}
        self._keys: dict[object, Key] = {}
        self._active = 0
        self._share = math.inf
        self._parked: deque[Lane] = deque()
        self._hanging: set[Lane] = set()
        self._hanging_cap = max(1, concurrency // 4) if concurrency else math.inf
        self._heap: list[tuple[float, int, Lane]] = []
        self._order = 0
        self.busy = self.closed = False

    def user(
        self,
        name: str,
        endpoint: str,
        send: Send,
        limits: Limits,
        *,
        sign_in: SignIn | None = None,
        one_key: bool = False,
        identity: object = None,
    ) -> User:
        """Add a user. Those of one endpoint share its gate, at the rate that the first of them names.

        `one_key`: the gateway locks its key after a few refusals, and with it those of the same `identity`.
        """
        gate = self._endpoints.setdefault(endpoint, Gate(Rate.parse(limits.endpoint_rate)))
        key = self._keys.setdefault(name if identity is None else identity, Key()) if one_key else None
        user = User(name, send, limits, gate, sign_in=sign_in, key=key)
        self.users.append(user)
        return user

    def lane(self, project_id: str, user: User) -> Lane:
        """The lane of a project, made on first sight; the project stays with the user that brought it first.

        An empty id is the user's own lane, for what is asked about the account itself.
        """
        key = project_id or user
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(project_id, user)
        return lane

    def push(self, job: Job, now: float) -> None:
        """A new target; it goes behind those of its project."""
        lane = job.lane
        lane.ready.append(job)
        if len(lane.ready) == 1:
            self._activate(lane)
            self._place(lane, now)

    def retry(self, job: Job, due: float, now: float) -> None:
        """Try a job again at `due`."""
        self._order += 1
        job.lane.retry(job, due, self._order)
        self._activate(job.lane)
        self._place(job.lane, now)

    def _activate(self, lane: Lane) -> None:
        if not lane.active and lane.place != _UNSIGNED:
            lane.active = True
            self._count(1)

    def take(self, now: float) -> Job | None:
        """The next job to start now, counted in all its scopes, or `None`; see `next_due`.

        Lanes that are due and not signed in are left in `unsigned`.
        """
        while self._heap and self._heap[0][0] <= now:
            due, _, waiting = heappop(self._heap)
            if waiting.place == due:
                self._enter_ring(waiting)
        if self.closed:
            return None
        while True:
            for _ in range(len(self.users)):
                user = self.users[0]
                self.users.rotate(-1)
                if user.ring and user.due() <= now and (job := self._take_of(user, now)) is not None:
                    return job
            # Whoever was let in for one that hung may have had nothing to start: the next one may.
            if not self._parked or len(self._hanging) >= self._hanging_cap:
                return None
            self._enter_ring(self._parked.popleft())

    def _take_of(self, user: User, now: float) -> Job | None:
        while user.ring:
            lane = user.ring.popleft()
            lane.place = None
            if lane.timed_out and len(self._hanging) >= self._hanging_cap:
                lane.place = _PARKED
                self._parked.append(lane)
            elif lane.due(self._share) > now:
                self._place(lane, now)
            elif lane.signed_until <= now:
                self._wait_for_sign_in(lane)
            else:
                return self._start(lane, now)
        return None

    def _wait_for_sign_in(self, lane: Lane) -> None:
        """It leaves its share to the others meanwhile: it can use none of it."""
        lane.place = _UNSIGNED
        self.unsigned.append(lane)
        lane.active = False
        self._count(-1)

    def signed(self, lane: Lane, now: float) -> None:
        """The sign-in of a lane has ended, well or not."""
        lane.place = None
        if lane.has_work():
            self._activate(lane)
        self._place(lane, now)

    def open(self, *, stopped: bool) -> None:
        """A run begins, and was perhaps stopped before. Raises `ConfigError` while another is under way."""
        if self.busy:
            raise ConfigError("a session does one run at a time: let the other one end first")
        self.busy, self.closed = True, stopped

    def end(self, now: float) -> None:
        """A run has ended, and with it the sign-ins that lanes waited for; nothing starts until the next one."""
        self.busy, self.closed = False, True
        for user in self.users:
            while user.unsigned:
                self.unsigned.append(user.unsigned.popleft())
        while self.unsigned:
            self.signed(self.unsigned.popleft(), now)

    def leave(self, lane: Lane, now: float) -> None:
        """A request of the lane was answered, or given up; what is known of the lane by then says where it goes."""
        lane.in_flight -= 1
        lane.gate.leave(now)
        lane.user.leave(now)
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
        self._share = -(-self.cap // self._active) if self.cap and self._active else math.inf

    def _unpark(self, lane: Lane) -> None:
        """This lane has been answered, or one that hung has left a place for the next."""
        if lane.place == _PARKED and not lane.timed_out:
            self._parked.remove(lane)
            self._enter_ring(lane)
        elif lane in self._hanging:
            self._enter_ring(self._parked.popleft())

    def held(self, now: float) -> tuple[int, float]:
        """How many scopes wait because of a 429, and the seconds until the last of them goes on."""
        gates = (
            *(gate for user in self.users for gate in (user.gate, user.sign_ins)),
            *self._endpoints.values(),
            *(lane.gate for lane in self.lanes.values()),
        )
        waits = [gate.held_until - now for gate in gates if gate.held_until > now]
        return len(waits), max(waits, default=0.0)

    def earliest(self, lane: Lane, due: float) -> float:
        """When a job of this lane that is due then can start, as far as its scopes tell by now."""
        for gate in (lane.gate, lane.user.gate, lane.user.endpoint):
            at = gate.due()
            if due < at < math.inf:
                due = at
        return due

    def held_until(self, lane: Lane) -> float:
        """Until when a 429 holds this lane or what it shares with others."""
        return max(lane.gate.held_until, lane.user.gate.held_until, lane.user.endpoint.held_until)

    def next_due(self) -> float:
        """When `take` is worth asking again; `inf` if only an event can change its answer."""
        if self.closed:
            return math.inf
        due = self._heap[0][0] if self._heap else math.inf
        for user in self.users:
            if user.ring:
                due = min(due, user.due())
        return due

    def _start(self, lane: Lane, now: float) -> Job:
        job = lane.next_job(now)
        lane.gate.enter(now)
        lane.user.enter(now)
        lane.in_flight += 1
        if lane.timed_out:
            self._hanging.add(lane)
        self._place(lane, now)
        return job

    def _place(self, lane: Lane, now: float) -> None:
        """Put the lane where it belongs now: ring, heap or neither. Stale heap entries are known by their time."""
        if lane.place is not None and lane.place < 0:
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
        lane.user.ring.append(lane)
