"""A limit as a gateway keeps it: how much, for whom, how it counts, what its 429 says. No code of the client's."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

SCOPES = ("project", "user", "address", "api")
WINDOWS = ("sliding", "fixed", "bucket", "leaky")
# What the gateway's text calls them.
_NAMES = {"project": "app", "user": "user", "address": "ip", "api": "api"}
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_RATE = re.compile(r"(\d{1,9})/(\d+(?:\.\d+)?)?(s|min|h)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, as far as a limit can tell: the project, its user, the endpoint it goes to."""

    project: str
    user: str = "user"
    endpoint: str = "endpoint"

    def key(self, scope: str) -> str:
        """Whose limit it is in this scope. All of a run comes from one address, and is of one API per endpoint; the
        same project id at two endpoints is two projects.
        """
        if scope == "project":
            return f"{self.endpoint} {self.project}"
        return self.user if scope == "user" else self.endpoint


@dataclass(frozen=True, slots=True)
class Policy:
    """`count` requests (>= 1) per `per` seconds (> 0) for each project, user, address or API.

    `window`: `sliding` (the last `per` seconds, half-open), `fixed` (from each multiple of `per`), `bucket` (tokens,
    `capacity` of them, by default `count`) or `leaky` (a meter that lets at most `capacity` go together, by default
    1); `told`: its 429 names it; `count_refused`: a refused request takes room too; `changes`: times from which
    another count holds. `ValueError` for what no gateway can keep.
    """

    count: int
    per: float = 1.0
    scope: str = "project"
    window: str = "sliding"
    capacity: int | None = None
    told: bool = True
    count_refused: bool = False
    changes: tuple[tuple[float, int], ...] = ()

    def __post_init__(self) -> None:
        wrong = next((text for text, bad in self._faults() if bad), None)
        if wrong is not None:
            raise ValueError(wrong)

    def _faults(self) -> tuple[tuple[str, bool], ...]:
        counts = (self.count, *(count for _, count in self.changes))
        times = [0.0, *(at for at, _ in self.changes)]
        bucket = self.window in ("bucket", "leaky")
        return (
            ("a limit is at least 1 request in a time above 0", min(counts) < 1 or not 0 < self.per < float("inf")),
            (f"scope {self.scope!r} is not known: use {', '.join(SCOPES)}", self.scope not in SCOPES),
            (f"window {self.window!r} is not known: use {', '.join(WINDOWS)}", self.window not in WINDOWS),
            ("only a bucket and a leaky one have a capacity", self.capacity is not None and not bucket),
            ("a capacity is at least 1", self.capacity is not None and self.capacity < 1),
            ("a bucket does not count what it refuses", bucket and self.count_refused),
            ("a 429 names a time in whole seconds", self.told and self.per % 1 != 0),
            ("changes come one after the other", any(a >= b for a, b in pairwise(times))),
        )

    def limit(self, at: float) -> int:
        """The count in force at this time."""
        count = self.count
        for start, changed in self.changes:
            if at < start:
                break
            count = changed
        return count

    @property
    def size(self) -> int:
        """Requests that may come together at once, where it is a bucket."""
        if self.capacity is not None:
            return self.capacity
        return self.count if self.window == "bucket" else 1

    def most(self, start: float, end: float) -> float:
        """The most requests that it can let into a window of `per` seconds from `start` to `end`."""
        inside = (count for at, count in self.changes if start < at <= end)
        most = max(self.limit(start), *inside, 0)
        return most + self.size if self.window in ("bucket", "leaky") else most

    def message(self, at: float) -> str:
        """The text of its 429."""
        if not self.told:
            return "Too many requests, please try again later"
        length, unit = next((length, unit) for length, unit in _UNITS if self.per % length == 0)
        named = f"{_NAMES[self.scope]} over ratelimit,limit:{self.limit(at)},time:{self.per / length:.0f} {unit}"
        return f"The throttling threshold has been reached: policy {named}"


def parse_gateway(text: str) -> Policy:
    """A limit from `user=200/5min`, `endpoint=200/s window=fixed`, `project=10/s told=no refusals=counted`.

    Scopes: project, user, endpoint (its API) and address. `window=` sliding, fixed, bucket or leaky, the last two with
    `capacity=`; `told=` yes or no; `refusals=` counted or free; `then=17@60,50@120`: other counts from these seconds
    on. Raises `ValueError` saying what is wrong.
    """
    first, *rest = text.split() or [""]
    scope, _, rate = first.partition("=")
    policy = _parse_first("api" if scope == "endpoint" else scope, rate, text)
    for word in rest:
        key, _, value = word.partition("=")
        if key not in _OPTIONS:
            raise ValueError(f"{word!r} is not known in {text!r}: use {', '.join(f'{key}=' for key in _OPTIONS)}")
        policy = _OPTIONS[key](policy, value)
    return policy


def _parse_first(scope: str, rate: str, text: str) -> Policy:
    found = _RATE.fullmatch(rate)
    if scope not in SCOPES or found is None:
        scopes = "project, user, endpoint or address"
        raise ValueError(f"gateway {text!r} is not understood: begin with {scopes} and a rate, like user=200/5min")
    per = float(found[2] or 1) * _SECONDS[found[3]]
    # Whether it is told may stand further behind, and a fraction of a second cannot be.
    return Policy(int(found[1]), per, scope, told=per % 1 == 0)


def _choice(name: str, choices: dict[str, bool], value: str) -> bool:
    if value not in choices:
        raise ValueError(f"{name}={value} is not known: use {' or '.join(choices)}")
    return choices[value]


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise ValueError(f"{name}={value} is no number")
    return int(value)


def _changes(value: str) -> tuple[tuple[float, int], ...]:
    if not re.fullmatch(r"\d{1,9}@\d{1,9}(,\d{1,9}@\d{1,9})*", value, re.ASCII):
        raise ValueError(f"then={value} is not understood: write it like 17@60,50@120")
    pairs = (pair.split("@") for pair in value.split(","))
    return tuple((float(at), int(count)) for count, at in pairs)


_OPTIONS: dict[str, Callable[[Policy, str], Policy]] = {
    "window": lambda policy, value: replace(policy, window=value),
    "capacity": lambda policy, value: replace(policy, capacity=_number("capacity", value)),
    "told": lambda policy, value: replace(policy, told=_choice("told", {"yes": True, "no": False}, value)),
    "refusals": lambda policy, value: replace(
        policy, count_refused=_choice("refusals", {"counted": True, "free": False}, value)
    ),
    "then": lambda policy, value: replace(policy, changes=_changes(value)),
}
