"""Who may start what, and when: every scope that a request passes has room for it, or it waits and holds nothing.

No I/O, task or clock of its own: the loop asks `Fleet.take(now)` and is told a job, or to come back later.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator

from sdrs_async.auth import SignInCounts
from sdrs_async.engine.access import SignIn
from sdrs_async.engine.lanes import Job, Lane
from sdrs_async.engine.line import Line, Place
from sdrs_async.engine.survey import Survey
from sdrs_async.engine.users import Endpoint, Key, Send, User
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, Rate


class _Hanging:
    """The lanes with a request on the wire that have not answered since their last time-out: a quarter of the slots
    is for these `lanes`, the others are `parked`.
    """

    def __init__(self, slots: int | None) -> None:
        self.parked: deque[Lane] = deque()
        self.lanes: set[Lane] = set()
        self._most = max(1, slots // 4) if slots else math.inf

    def has_room(self) -> bool:
        """Whether one more may start a request."""
        return len(self.lanes) < self._most

    def leave(self, lane: Lane) -> Lane | None:
        """A request of a lane has ended: whom that lets go on of those that are parked."""
        freed = None
        if self.parked and lane in self.lanes:
            freed = self.parked.popleft()
        elif lane in self.parked and not lane.record.timed_out:
            self.parked.remove(lane)
            freed = lane
        self.lanes.discard(lane)
        return freed


class Fleet:
    """All users, lanes and gates; they outlive a run. A request has its place in every scope, or in none.

    Of all lanes that are due the one that has been it the longest goes first, whoever its user is: so every project has
    its fair share of what it shares with others, and what it cannot use these have. Lanes that are due and have to sign
    in first are left in `unsigned`. `busy`: a run is under way, and `give_up` ends it with an error, from outside of
    it; `closed`: nothing starts.

    Two rules keep slow projects from filling the fleet's cap: no lane holds more than its share, the cap divided by the
    lanes that have work, rounded up; and those that timed out fill a quarter of it at most, the others are parked.
    """

    def __init__(self, concurrency: int | None) -> None:
        self.cap = concurrency
        self.users: list[User] = []
        self.unsigned: deque[Lane] = deque()
        self.busy = self.closed = False
        self.give_up: Callable[[Exception], None] | None = None
        self._endpoints: dict[str, Endpoint] = {}
        self._keys: dict[object, Key] = {}
        self._line = Line(concurrency)
        self._hanging = _Hanging(concurrency)
        self._order = 0

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
        place = self._endpoints.get(endpoint)
        if place is None:
            place = Endpoint(endpoint, Rate.parse(limits.endpoint_rate), self.cap, self._line)
            self._endpoints[endpoint] = place
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

    # ---- what waits

    def earliest(self) -> tuple[float, Lane | None]:
        """When a lane can start something by all that limits it, wherever it waits, and which is the first.

        `inf` if only an answer or a sign-in can tell. Looks at every lane: for whoever suspects that one was forgotten.
        """
        has_room = self._hanging.has_room()
        dues = ((_due(one), one) for one in self.lanes() if has_room or not one.record.timed_out)
        return min(dues, key=lambda due: due[0], default=(math.inf, None))

    def push(self, job: Job, now: float) -> None:
        """A new target; it goes behind those of its project."""
        if job.lane.backlog.push(job, now):
            self._place(job.lane, now)

    def retry(self, job: Job, due: float, now: float) -> None:
        """Try a job again at `due`."""
        self._order += 1
        job.lane.backlog.retry(job, due, self._order)
        self._place(job.lane, now)

    def _place(self, lane: Lane, now: float) -> None:
        """The lane has something to do."""
        if lane.turn.place is not Place.UNSIGNED:
            self._line.count(lane.turn, active=True)
            self._line.place(lane.turn, now)

    def drain(self) -> Iterator[Job]:
        """Take out everything that waits."""
        for lane in self.lanes():
            yield from lane.backlog.drain()
            self.rest(lane)

    def survey(self, now: float) -> Survey:
        """What keeps the lanes, and what the server has shown, at a look at every one of them."""
        survey = Survey(self.users)
        for lane in self.lanes():
            survey.add(lane, now)
        return survey

    # ---- whose turn it is

    def take(self, now: float) -> Job | None:
        """The next job to start now, counted in all its scopes, or `None`; see `next_due`.

        Lanes that are due and not signed in are left in `unsigned`.
        """
        while not self.closed:
            while (turn := self._line.take(now)) is not None:
                job = self._start(turn.who, now)
                if job is not None:
                    return job
            # Whoever was let in for one that hung may have had nothing to start: the next one may.
            if not self._hanging.parked or not self._hanging.has_room():
                break
            self.let_go(self._hanging.parked.popleft(), now)
        return None

    def next_due(self) -> float:
        """When `take` is worth asking again; `inf` if only an event can change its answer."""
        return math.inf if self.closed else self._line.next_due()

    def _start(self, lane: Lane, now: float) -> Job | None:
        """A job of the lane whose turn it is, unless it is kept by something that is its own."""
        if lane.record.timed_out and not self._hanging.has_room():
            lane.turn.place = Place.PARKED
            self._hanging.parked.append(lane)
        elif lane.due() > now:
            self._line.place(lane.turn, now)
        elif lane.access.until <= now:
            lane.turn.place = Place.UNSIGNED
            self._line.count(lane.turn, active=False)  # it can use none of its share meanwhile
            self.unsigned.append(lane)
        else:
            job = lane.start(now)
            if lane.record.timed_out:
                self._hanging.lanes.add(lane)
            lane.turn.taken += 1
            if lane.backlog.ready or lane.backlog.later:
                self._line.place(lane.turn, now, again=lane.turn.taken < lane.user.weight)
            return job
        return None

    def leave(self, lane: Lane, now: float, late: float = 0.0) -> None:
        """A request of the lane was answered, or given up; what is known of the lane by then says where it goes.

        `late`: seconds for which the server may still count it.
        """
        key = lane.user.key
        lane.leave(now, late)
        if self._hanging.lanes and (freed := self._hanging.leave(lane)) is not None:
            self.let_go(freed, now)
        if not lane.backlog.ready:
            self.rest(lane)
        for one in (lane, *lane.kin):
            self._line.place(one.turn, now)
        for other in key.users if key is not None else ():
            self._line.place(other.turn, now)

    def rest(self, lane: Lane) -> None:
        """Give the share of a lane that has run out of work to the others."""
        if not lane.has_work():
            self._line.count(lane.turn, active=False)

    def let_go(self, lane: Lane, now: float) -> None:
        """A lane is not kept aside any more: its sign-in has ended, well or not, or there is room for one that hung."""
        lane.turn.place = Place.NOWHERE
        if lane.has_work():
            self._place(lane, now)

    # ---- from one run to the next

    def open(self, *, stopped: bool, give_up: Callable[[Exception], None] | None = None) -> None:
        """A run begins, and was perhaps stopped before. Raises `ConfigError` while another is under way."""
        if self.busy:
            raise ConfigError("a session does one run at a time: let the other one end first")
        self.busy, self.closed, self.give_up = True, stopped, give_up

    def close(self) -> None:
        """The run ends: nothing starts any more, and what settles is not tried again."""
        self.closed = True

    def end(self, now: float) -> None:
        """The run has ended, and with it the sign-ins that lanes waited for; nothing starts until the next one."""
        self.close()
        self.busy, self.give_up = False, None
        for user in self.users:
            while user.sign_ins.waiting:
                self.unsigned.append(user.sign_ins.waiting.popleft())
        while self.unsigned:
            self.let_go(self.unsigned.popleft(), now)


def _due(lane: Lane) -> float:
    """When the lane can start something, by all of its scopes."""
    user = lane.user
    if lane.turn.place is Place.UNSIGNED and user.sign_ins.under_way:
        return math.inf
    return max(lane.due(), user.due(), user.endpoint.due())
