"""The scopes that a request passes through: whom a 429 is about, who waits for it, and what the server has shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from sdrs_async.lanes import Lane
from sdrs_async.models import Learned, Rate, Reply, UsedUp
from sdrs_async.pacing import Gate
from sdrs_async.users import Endpoint, User

__all__ = ["behind", "learned", "refused", "used_up", "waits"]

# Seconds: shorter waits are the even pace of a window, and no standstill.
_STANDSTILL = 4.0


def refused(lane: Lane, reply: Reply, now: float, sent_at: float) -> tuple[Gate, str]:
    """The gate of the scope that a 429 names, to a request that this project sent at `sent_at`; and what to call it.

    One that names none is the project's, unless what projects were refused shows that it is the user's.
    """
    user = lane.user
    unnamed = reply.scope == "project" and reply.told is None
    if reply.scope == "user" or (unnamed and user.turns_away(lane, now, sent_at)):
        return user.gate, f"every project of {user.called}"
    if reply.scope == "endpoint":
        return user.endpoint.gate, "the endpoint"
    return lane.gate, f"project {lane.project_id}"


def behind(gate: Gate, lane: Lane) -> list[Lane]:
    """The lanes that wait when this gate does, which is one of `lane`'s."""
    if gate is lane.gate:
        return [lane, *lane.kin]
    if gate is lane.user.gate:
        return list(lane.user.lanes.values())
    return [other for user in lane.user.endpoint.users for other in user.lanes.values()]


def waits(
    endpoints: Iterable[Endpoint], users: Iterable[User], lanes: Iterable[Lane], now: float
) -> dict[str, tuple[int, float]]:
    """How many scopes of each kind a 429 holds at present, and the seconds until the last of them goes on."""
    found: dict[str, tuple[int, float]] = {}
    for kind, until in _holds(endpoints, users, lanes):
        if until > now:
            count, seconds = found.get(kind, (0, 0.0))
            found[kind] = count + 1, max(seconds, until - now)
    return found


def used_up(endpoints: Iterable[Endpoint], users: Iterable[User], now: float) -> Iterator[UsedUp]:
    """The limits that are used up for seconds, the widest first; alike projects of an account come once."""
    alike: dict[tuple[str, Rate, str], tuple[int, float]] = {}
    for endpoint in endpoints:
        every = (lane for user in endpoint.users for lane in user.lanes.values())
        if (limit := _standstill(endpoint.gate, every, now)) is not None:
            yield UsedUp("endpoint", endpoint.name, *limit)
    for user in users:
        if (limit := _standstill(user.gate, user.lanes.values(), now)) is not None:
            yield UsedUp("user", user.name, *limit)
        for lane in user.lanes.values():
            if (limit := _standstill(lane.gate, (lane,), now)) is not None:
                rate, origin, seconds = limit
                count, longest = alike.get((user.name, rate, origin), (0, 0.0))
                alike[user.name, rate, origin] = count + 1, max(longest, seconds)
    for (name, rate, origin), (count, seconds) in alike.items():
        yield UsedUp("project", name, rate, origin, seconds, count)


def _standstill(gate: Gate, lanes: Iterable[Lane], now: float) -> tuple[Rate, str, float] | None:
    """The limit of a gate that is used up while any of its lanes wants more, whose it is, and the seconds left."""
    limit = gate.used_up(now)
    if limit is None or limit[1] - limit[0] < _STANDSTILL:
        return None
    _, until, rate, origin = limit
    for lane in lanes:
        if lane.has_waiting_by(until):
            return rate, origin, until - now
    return None


def learned(endpoints: Iterable[Endpoint], users: Iterable[User], lanes: Iterable[Lane]) -> Iterator[Learned]:
    """The limits that the server has shown; one that several projects of an account have comes once for them."""
    for endpoint in endpoints:
        if endpoint.gate.learned is not None:
            yield Learned("endpoint", endpoint.name, *endpoint.gate.learned)
    for user in users:
        if user.gate.learned is not None:
            yield Learned("user", user.name, *user.gate.learned)
    projects = Counter((lane.user.name, *limit) for lane in lanes if (limit := lane.gate.learned) is not None)
    for (name, rate, told), count in projects.items():
        yield Learned("project", name, rate, told, count)


def _holds(endpoints: Iterable[Endpoint], users: Iterable[User], lanes: Iterable[Lane]) -> Iterator[tuple[str, float]]:
    """Each scope by its kind, and until when a 429 holds it: the loop's time, which may be past."""
    for endpoint in endpoints:
        yield "endpoint", endpoint.gate.held_until
    for user in users:
        yield "user", user.gate.held_until
        yield "sign-in", user.sign_ins.until
    for lane in lanes:
        yield "project", lane.gate.held_until
