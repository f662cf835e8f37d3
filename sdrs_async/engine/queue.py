"""Whose turn it is: the lane that has been due the longest, under the gates that it shares with others.

No I/O, task or clock of its own: the engine asks `Fleet.take(now)` and is told a job, or to come back later. Nothing
that waits here holds anything: a job is given out only when its lane and every shared gate are due.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from operator import attrgetter

from sdrs_async.auth import SignInCounts
from sdrs_async.engine.access import SignIn
from sdrs_async.engine.lanes import Job, Lane
from sdrs_async.engine.line import Turns
from sdrs_async.engine.survey import Survey
from sdrs_async.engine.users import Endpoint, Key, Send, User
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, Rate

__all__ = ["Fleet"]

# Where a lane is, unless that is a time: when it is due.
_IN_RING, _PARKED, _UNSIGNED = -1.0, -2.0, -3.0
_TURN = attrgetter("turn")


class Fleet:
    """All users, lanes and gates; they outlive a run. A request has its place in every scope, or in none.

    A lane is in the heap until it is due, then in its user's ring; or it is parked, waits for a sign-in, or has nothing
    to do. Users with lanes in their ring take turns: of all lanes that are due the one that has been it the longest
    goes first, whoever its user is. So every project has its fair share of what it shares with others, and what it
    cannot use these have. `give_up`: ends the run that is under way with an error, from outside of it.

    Two rules keep slow projects from filling the fleet's cap: no lane holds more than its share, the cap divided by the
    lanes that have work, rounded up; and those that timed out fill a quarter of it at most, the others are parked.
    """

    def __init__(self, concurrency: int | None) -> None:
        self.cap = concurrency
        self.users: list[User] = []
        self.unsigned: deque[Lane] = deque()
        self._endpoints: dict[str, Endpoint] = {}
        self._keys: dict[object, Key] = {}
        self._active = 0
        self._share = math.inf
        self._parked: deque[Lane] = deque()
        self._hanging: set[Lane] = set()
        self._hanging_cap = max(1, concurrency // 4) if concurrency else math.inf
        self._heap: list[tuple[float, int, Lane]] = []
        self._turns = Turns(self._endpoints.values())
        self._order = 0
        self.busy = self.closed = False
        self.give_up: Callable[[Exception], None] | None = None

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
        weight: int = 1,
        counts: SignInCounts | None = None,
    ) -> User:
        """Add a user. Those of one endpoint share its gate, at the rate that the first of them names.

        `one_key`: the gateway locks its key after a few refusals, and with it those of the same `identity`. `weight`:
        how many turns each of its projects has for one of another's. `counts`: where its sign-ins are counted.
        """
        place = self._endpoints.setdefault(endpoint, Endpoint(endpoint, Rate.parse(limits.endpoint_rate), self.cap))
        key = self._keys.setdefault(name if identity is None else identity, Key()) if one_key else None
        user = User(name, send, limits, place, sign_in=sign_in, key=key, weight=weight, counts=counts)
        self.users.append(user)
        return user

    def lane(self, project_id: str, user: User) -> Lane:
        """The lane of a user's project, made on first sight. Others of the same endpoint share the project's limits.

        An empty id is the user's own lane, for what is asked about the account itself.
        """
        lane = user.lanes.get(project_id)
        if lane is None:
            others = [other.lanes[project_id] for other in user.endpoint.users if project_id in other.lanes]
            lane = user.lanes[project_id] = Lane(project_id, user, others if project_id else ())
        return lane

    def lanes(self) -> Iterator[Lane]:
        """All lanes of all users."""
        for user in self.users:
            yield from user.lanes.values()

    def startable(self, now: float) -> Lane | None:
        """A lane of which something could start now by all that limits it, wherever it waits; `None` if there is none.

        Looks at every lane: for whoever suspects that one was forgotten.
        """
        hanging_full = len(self._hanging) >= self._hanging_cap
        return next(
            (one for one in self.lanes() if not (one.record.timed_out and hanging_full) and self._due(one) <= now), None
        )

    def earliest(self) -> float:
        """When a lane can start something, as far as its scopes tell; `inf` if only an answer or a sign-in can."""
        return min((self._due(lane) for lane in self.lanes()), default=math.inf)

    def _due(self, lane: Lane) -> float:
        user = lane.user
        if lane.place == _UNSIGNED and user.sign_ins.under_way:
            return math.inf
        return max(lane.due(self._share), user.due(), user.endpoint.due())

    def push(self, job: Job, now: float) -> None:
        """A new target; it goes behind those of its project."""
        lane = job.lane
        if lane.backlog.push(job, now):
            self._activate(lane)
            self._place(lane, now)

    def retry(self, job: Job, due: float, now: float) -> None:
        """Try a job again at `due`."""
        self._order += 1
        job.lane.backlog.retry(job, due, self._order)
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
            due, _, lane = heappop(self._heap)
            if lane.place == due:
                self._enter_ring(lane, now)
        while not self.closed:
            while (user := self._turns.take(now)) is not None:
                job = self._take_of(user, now) if user.due() <= now else None
                if user.ring:
                    self._turns.place(user, now)
                if job is not None:
                    return job
            # Whoever was let in for one that hung may have had nothing to start: the next one may.
            if not self._parked or len(self._hanging) >= self._hanging_cap:
                break
            self._enter_ring(self._parked.popleft(), now)
        return None

    def _take_of(self, user: User, now: float) -> Job | None:
        while user.ring:
            lane = user.ring.popleft()
            lane.place = None
            if lane.record.timed_out and len(self._hanging) >= self._hanging_cap:
                lane.place = _PARKED
                self._parked.append(lane)
            elif lane.due(self._share) > now:
                self._place(lane, now)
            elif lane.access.until <= now:
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

    def open(self, *, stopped: bool, give_up: Callable[[Exception], None] | None = None) -> None:
        """A run begins, and was perhaps stopped before. Raises `ConfigError` while another is under way."""
        if self.busy:
            raise ConfigError("a session does one run at a time: let the other one end first")
        self.busy, self.closed, self.give_up = True, stopped, give_up

    def end(self, now: float) -> None:
        """A run has ended, and with it the sign-ins that lanes waited for; nothing starts until the next one."""
        self.busy, self.closed, self.give_up = False, True, None
        for user in self.users:
            while user.sign_ins.waiting:
                self.unsigned.append(user.sign_ins.waiting.popleft())
        while self.unsigned:
            self.signed(self.unsigned.popleft(), now)

    def leave(self, lane: Lane, now: float, late: float = 0.0) -> None:
        """A request of the lane was answered, or given up; what is known of the lane by then says where it goes.

        `late`: seconds for which the server may still count it.
        """
        user, key = lane.user, lane.user.key
        lane.leave(now, late)
        if self._parked:
            self._unpark(lane, now)
        if self._hanging:
            self._hanging.discard(lane)
        self.rest(lane)
        self._place(lane, now)
        for kin in lane.kin:
            self._place(kin, now)
        for other in (user,) if key is None else key.users:
            self._turns.place(other, now)

    def lose_turn(self, lane: Lane) -> None:
        """Its last turn came to nothing: the next one is the lane's as if it had not had that."""
        lane.lost_turn = True

    def rest(self, lane: Lane) -> None:
        """Give the share of a lane that has run out of work to the others."""
        if lane.active and not lane.has_work():
            lane.active = False
            self._count(-1)

    def _count(self, more: int) -> None:
        self._active += more
        self._share = -(-self.cap // self._active) if self.cap and self._active else math.inf

    def _unpark(self, lane: Lane, now: float) -> None:
        """This lane has been answered, or one that hung has left a place for the next."""
        if lane.place == _PARKED and not lane.record.timed_out:
            self._parked.remove(lane)
            self._enter_ring(lane, now)
        elif lane in self._hanging:
            self._enter_ring(self._parked.popleft(), now)

    def survey(self, now: float) -> Survey:
        """What keeps the lanes, and what the server has shown, at a look at every one of them."""
        survey = Survey(self.users)
        for lane in self.lanes():
            survey.add(lane, now)
        return survey

    def next_due(self) -> float:
        """When `take` is worth asking again; `inf` if only an event can change its answer."""
        if self.closed:
            return math.inf
        due = min(self._turns.dues(), default=math.inf)
        return min(due, self._heap[0][0]) if self._heap else due

    def _start(self, lane: Lane, now: float) -> Job:
        user, job = lane.user, lane.start(now)
        lane.taken += 1
        if lane.record.timed_out:
            self._hanging.add(lane)
        if lane.backlog.ready or lane.backlog.later:
            if lane.taken < user.weight and lane.due(self._share) <= now:
                lane.place = _IN_RING
                user.ring.appendleft(lane)  # its next turn at once
            else:
                self._place(lane, now)
        return job

    def _place(self, lane: Lane, now: float) -> None:
        """Put the lane where it belongs now: ring, heap or neither. Stale heap entries are known by their time."""
        if lane.place is not None and lane.place < 0:
            return
        due = lane.due(self._share)
        if due <= now:
            self._enter_ring(lane, now)
        elif due == math.inf:
            lane.place = None
        elif lane.place != due:
            self._order += 1
            lane.place = due
            heappush(self._heap, (due, self._order, lane))

    def _enter_ring(self, lane: Lane, now: float) -> None:
        lane.place, lane.taken = _IN_RING, 0
        if lane.lost_turn:
            lane.lost_turn = False
            insort(lane.user.ring, lane, key=_TURN)
        else:
            self._order += 1
            lane.turn = self._order
            lane.user.ring.append(lane)
        self._turns.place(lane.user, now)
