"""What keeps the projects of a fleet from going on, and what the server has shown, at a look at each of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from sdrs_async.engine.lanes import Lane
from sdrs_async.engine.users import Endpoint, User
from sdrs_async.limits import Learned, Rate, UsedUp
from sdrs_async.pace.meter import Gate

# Seconds: shorter waits are the even pace of a window, and no standstill.
_STANDSTILL = 4.0
_WIDEST = ("endpoint", "user", "project")


class Survey:
    """What keeps a fleet's projects from going on, and what the server has shown; of those that were `add`ed."""

    def __init__(self, users: Iterable[User]) -> None:
        self._users = list(users)
        self._held = (0, 0.0)
        self._alike: dict[tuple[str, Rate, str], tuple[int, float]] = {}
        self._learned: Counter[tuple[str, Rate, bool]] = Counter()
        # By whom the lanes are that have something to start, and from when on; where they have to sign in before.
        self._wanted: dict[User | Endpoint, float] = {}
        self._unsigned: set[User] = set()

    def add(self, lane: Lane, now: float) -> None:
        """Look at one, once. `now`: it may go on from one to the next."""
        gate, user, backlog = lane.gate, lane.user, lane.backlog
        if (known := gate.learned) is not None:
            self._learned[user.name, *known] += 1
        if not (backlog.ready or backlog.later):
            return
        start = now if backlog.ready else backlog.next_retry()
        for one in (user, user.endpoint):
            self._wanted[one] = min(start, self._wanted.get(one, math.inf))
        if lane.access.until <= now:
            self._unsigned.add(user)
        if gate.held_until > now:
            self._held = self._held[0] + 1, max(self._held[1], gate.held_until)
        if (limit := _standstill(gate, start, now)) is not None:
            rate, origin, until = limit
            count, longest = self._alike.get((user.name, rate, origin), (0, 0.0))
            self._alike[user.name, rate, origin] = count + 1, max(longest, until)

    def waits(self, now: float) -> dict[str, tuple[int, float]]:
        """Of each kind, how many scopes a 429 holds while something waits, and the seconds until the last goes on."""
        holds = [("user" if isinstance(one, User) else "endpoint", 1, one.gate.held_until) for one in self._wanted]
        holds += [("sign-in", 1, user.sign_ins.held_until) for user in self._unsigned]
        found: dict[str, tuple[int, float]] = {}
        for kind, number, until in [*holds, ("project", *self._held)]:
            if until > now:
                count, seconds = found.get(kind, (0, 0.0))
                found[kind] = count + number, max(seconds, until - now)
        return found

    def used_up(self, now: float) -> list[UsedUp]:
        """The limits that are used up for seconds, without a 429, while something waits for them: the widest first.

        Alike projects of an account come once.
        """
        found = [
            UsedUp("user" if isinstance(one, User) else "endpoint", one.name, rate, origin, until - now)
            for one, start in self._wanted.items()
            if (limit := _standstill(one.gate, start, now)) is not None
            for rate, origin, until in [limit]
        ]
        for (name, rate, origin), (count, until) in self._alike.items():
            if until > now:
                found.append(UsedUp("project", name, rate, origin, until - now, count))
        return sorted(found, key=lambda one: _WIDEST.index(one.scope))

    def learned(self) -> list[Learned]:
        """The limits that the server has shown; one that several projects of an account have comes once for them."""
        endpoints = dict.fromkeys(user.endpoint for user in self._users)
        scopes = [("endpoint", one.name, one.gate) for one in endpoints]
        scopes += [("user", one.name, one.gate) for one in self._users]
        shared = [Learned(kind, name, *known) for kind, name, gate in scopes if (known := gate.learned) is not None]
        return shared + [Learned("project", *one, count) for one, count in self._learned.items()]


def _standstill(gate: Gate, start: float, now: float) -> tuple[Rate, str, float] | None:
    """The limit of a gate that keeps what is to `start` then for seconds, whose it is, and until when."""
    limit = gate.used_up(now)
    if limit is None:
        return None
    since, until, rate, origin = limit
    return (rate, origin, until) if until - since >= _STANDSTILL and start < until else None
