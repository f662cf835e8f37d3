"""Which user's turn it is, of those at one endpoint and of all endpoints: that of the lane that has waited longest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from sdrs_async.engine.users import Endpoint, User

__all__ = ["Turns"]

_IN_TURNS = -1.0


class Turns:
    """Users that have lanes in their ring: in the heap until their own limit is due, then among their endpoint's turns.

    One whose limit waits for an answer is in neither; it is placed again when that comes.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = endpoints
        self._heap: list[tuple[float, int, User]] = []
        self._order = 0

    def place(self, user: User, now: float) -> None:
        """Put the user where it belongs now."""
        if user.place == _IN_TURNS or not user.ring:
            return
        due = user.due()
        if due <= now:
            user.place = _IN_TURNS
            heappush(user.endpoint.turns, (user.ring[0].turn, user))
        elif due == math.inf:
            user.place = None
        elif user.place != due:
            self._order += 1
            user.place = due
            heappush(self._heap, (due, self._order, user))

    def take(self, now: float) -> User | None:
        """Take out the user whose turn it is at an endpoint that is due; `None` if there is none."""
        while self._heap and self._heap[0][0] <= now:
            due, _, user = heappop(self._heap)
            if user.place == due:
                self.place(user, now)
        longest: Endpoint | None = None
        for endpoint in self._endpoints:
            turns = endpoint.turns
            if turns and (longest is None or turns[0] < longest.turns[0]) and endpoint.due() <= now:
                longest = endpoint
        if longest is None:
            return None
        user = heappop(longest.turns)[1]
        user.place = None
        return user

    def dues(self) -> Iterator[float]:
        """When it is worth to ask again."""
        if self._heap:
            yield self._heap[0][0]
        for endpoint in self._endpoints:
            if endpoint.turns:
                yield endpoint.due()
