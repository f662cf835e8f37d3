"""Whose turn it is: of all that are due the project that has been it the longest, whoever its user is."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from heapq import heappop, heappush
from typing import Any


class Place(Enum):
    """Where a turn is kept. `NOWHERE`: there is nothing to do, or only an answer can tell when."""

    NOWHERE = auto()
    WAITING = auto()
    DUE = auto()
    PARKED = auto()
    UNSIGNED = auto()


# Enum looks its members up by name each time, which costs as much as a call.
_NOWHERE, _WAITING, _DUE = Place.NOWHERE, Place.WAITING, Place.DUE


@dataclass(slots=True, eq=False)
class Turn:
    """The entry of one who takes turns: a project, its user, or the endpoint of that. `who.due()` tells when it may
    start a request, as far as it alone decides, `inf` if only an answer can tell.

    `behind`: whose turn it has to be as well; `ring`: the turns behind this one that are due, by their numbers. `at`:
    the time that a `WAITING` one waits for; `number`: the lower, the longer it has been due; `lost`: a 429 took its
    last turn, so that it keeps its number; `taken`: turns that it has had with that number; `active`: it has a share of
    the slots.
    """

    line: Line
    who: Any
    ring: deque[tuple[int, Turn]]
    behind: Turn = field(init=False)
    place: Place = Place.NOWHERE
    at: float = 0.0
    number: int = 0
    lost: bool = False
    taken: int = 0
    active: bool = False


# The ring of every project, behind whose turn there is none.
_NOBODY: deque[tuple[int, Turn]] = deque()


class Line:
    """All turns. One that is not due waits for its time in a heap, one that is stands in the ring that it is behind.

    `active`: projects that have something to do; `share`: how many requests each of them may have on the wire, the
    slots divided by them, rounded up.
    """

    def __init__(self, slots: int | None) -> None:
        self.active = 0
        self.share = math.inf
        self._slots = slots
        self._endpoints: list[Turn] = []
        self._waiting: list[tuple[float, int, Turn]] = []
        self._order = 0

    def endpoint(self, who: Any) -> Turn:
        """The turn of an endpoint: it is always among those that are due, and asked when it is its turn."""
        turn = Turn(self, who, deque(), _DUE)
        turn.behind = turn
        self._endpoints.append(turn)
        return turn

    def behind(self, other: Turn, who: Any, *, last: bool = False) -> Turn:
        """The turn of a user of an endpoint, or of a project of a user, the `last` in the row: behind it is nobody."""
        turn = Turn(self, who, _NOBODY if last else deque())
        turn.behind = other
        return turn

    def count(self, turn: Turn, *, active: bool) -> None:
        """A project has something to do, and so its share; or it leaves that to the others."""
        if turn.active is not active:
            turn.active = active
            self.active += 1 if active else -1
            self.share = -(-self._slots // self.active) if self._slots and self.active else math.inf

    # ---- taking turns

    def place(self, turn: Turn, now: float, *, again: bool = False) -> None:
        """Put a turn where it belongs now, and then the one that it is behind; one that is kept aside stays there.

        `again`: it was its turn just now, and if it is due at once it is so with the same number.
        """
        for one in (turn, turn.behind):
            ring = one.ring
            if not (one.place is _NOWHERE or one.place is _WAITING) or not (ring or ring is _NOBODY):
                continue
            due = one.who.due()
            if due <= now:
                self._enter(one, keep=again)
            elif due == math.inf:
                one.place = _NOWHERE
            elif one.place is _NOWHERE or one.at != due:  # an entry of another time is left, and known by that
                self._order += 1
                one.place, one.at = _WAITING, due
                heappush(self._waiting, (due, self._order, one))

    def _enter(self, turn: Turn, *, keep: bool) -> None:
        """It is due: it gets a number, unless it may keep its own, or has that of the first one behind it."""
        if turn.ring:
            turn.number = turn.ring[0][0]
        elif not keep:
            turn.taken = 0
            if not turn.lost:
                self._order += 1
                turn.number = self._order
            turn.lost = False
        turn.place = _DUE
        entry, ring = (turn.number, turn), turn.behind.ring
        if ring and entry < ring[-1]:
            insort(ring, entry)
        else:
            ring.append(entry)

    def take(self, now: float) -> Turn | None:
        """Take out the turn of the project that is next, whose user and endpoint are due; `None` if there is none."""
        if self._waiting and self._waiting[0][0] <= now:
            self._come(now)
        while True:
            users: deque[tuple[int, Turn]] | None = None
            for endpoint in self._endpoints:
                ring = endpoint.ring
                if ring and (users is None or ring[0] < users[0]) and endpoint.who.due() <= now:
                    users = ring
            if users is None:
                return None
            _, user = users.popleft()
            if user.who.due() <= now:
                break
            user.place = _NOWHERE
            self.place(user, now)
        _, turn = user.ring.popleft()
        turn.place = _NOWHERE
        if user.ring:
            insort(users, (user.ring[0][0], user))
        else:
            user.place = _NOWHERE
        return turn

    def _come(self, now: float) -> None:
        """Place those again whose time has come."""
        while self._waiting and self._waiting[0][0] <= now:
            at, _, turn = heappop(self._waiting)
            if turn.place is _WAITING and turn.at == at:
                turn.place = _NOWHERE
                self.place(turn, now)

    def next_due(self) -> float:
        """When it is worth to ask again; `inf` if only an event can change the answer."""
        dues: list[float] = [endpoint.who.due() for endpoint in self._endpoints if endpoint.ring]
        return min([*dues, self._waiting[0][0] if self._waiting else math.inf])
