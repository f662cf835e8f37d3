"""The server's own limiter: so many requests in a window, per project, user, source address and endpoint."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_FORM = re.compile(r"([1-9]\d*)/([1-9]\d*)?(s|min|h)", re.ASCII)
_SECONDS = {"s": 1, "min": 60, "h": 3600}
# How the gateway calls each scope in its text, in the order in which it looks at them.
_POLICIES = {"project": "app", "user": "user", "address": "ip", "endpoint": "api"}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in a window of `per` seconds."""

    count: int
    per: int


def parse_rate(text: str | None) -> Rate | None:
    """A rate from `50/s` or `200/5min`; `None` and `none` are no limit. Raises `ValueError` naming the form."""
    if text is None or text == "none":
        return None
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"rate {text!r} is not understood: write it like 50/s, 200/5min or none")
    return Rate(int(found[1]), int(found[2] or 1) * _SECONDS[found[3]])


def policy_text(name: str, rate: Rate) -> str:
    """How the gateway names a limit: `app over ratelimit,limit:200,time:5 minute`."""
    units = ((3600, "hour"), (60, "minute"), (1, "second"))
    length, unit = next((length, unit) for length, unit in units if rate.per % length == 0)
    return f"{name} over ratelimit,limit:{rate.count},time:{rate.per // length} {unit}"


def threshold_text(name: str, rate: Rate) -> str:
    """How IAM names a limit: `200 times per 300 seconds`."""
    return f"{rate.count} times per {rate.per} seconds"


def hidden_text(name: str, rate: Rate) -> str:
    """Nothing: of a limit that its refusals do not tell."""
    return ""


class _Window(Protocol):
    def full(self, at: float) -> bool: ...

    def count(self, at: float) -> None: ...

    def change(self, rate: Rate) -> None:
        """From now on another limit; what was counted stays counted, as far as it is known."""


class _Sliding:
    """Full when the last `rate.count` counted arrivals all lie less than `rate.per` back."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._arrivals: deque[float] = deque(maxlen=rate.count)

    def full(self, at: float) -> bool:
        arrivals = self._arrivals
        return len(arrivals) == self._rate.count and arrivals[0] > at - self._rate.per

    def count(self, at: float) -> None:
        self._arrivals.append(at)

    def change(self, rate: Rate) -> None:
        self._rate = rate
        self._arrivals = deque(self._arrivals, maxlen=rate.count)


class _Fixed:
    """Full when `rate.count` arrivals are counted since the clock's last multiple of `rate.per`."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._number = -1
        self._counted = 0

    def full(self, at: float) -> bool:
        number = int(at // self._rate.per)
        if number != self._number:
            self._number, self._counted = number, 0
        return self._counted >= self._rate.count

    def count(self, at: float) -> None:
        self._counted += 1

    def change(self, rate: Rate) -> None:
        if rate.per != self._rate.per:
            self._number = -1
        self._rate = rate


class _Bucket:
    """Holds `rate.count` tokens at most and at first, gains as many in `rate.per`; full when not one is left.

    Counted refusals take tokens that are not there, so that the next one comes later.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._tokens = float(rate.count)
        self._at: float | None = None

    def full(self, at: float) -> bool:
        since = 0.0 if self._at is None else at - self._at
        self._at = at
        self._tokens = min(float(self._rate.count), self._tokens + since * self._rate.count / self._rate.per)
        # A hair less than one: sums of fractions are never exact.
        return self._tokens < 1 - 1e-9

    def count(self, at: float) -> None:
        self._tokens -= 1

    def change(self, rate: Rate) -> None:
        self._rate = rate


_WINDOWS: dict[str, Callable[[Rate], _Window]] = {"sliding": _Sliding, "fixed": _Fixed, "bucket": _Bucket}


class Limiter:
    """Refuses what is above a rate. A request needs room in each of its windows, and is counted in all or none.

    `window`: `sliding`, `fixed` (starting at multiples of its length) or `bucket` (of tokens, as many as the count);
    `count_refused`: a refused request takes room too; `text`: how a refusal names a limit. Arrivals are given in order
    of time.
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        user: str | None = None,
        address: str | None = None,
        endpoint: str | None = None,
        window: str = "sliding",
        count_refused: bool = False,
        text: Callable[[str, Rate], str] = policy_text,
    ) -> None:
        if window not in _WINDOWS:
            raise ValueError(f"window {window!r} is not known: use {', '.join(_WINDOWS)}")
        self._new_window = _WINDOWS[window]
        self._count_refused = count_refused
        self._text = text
        self._rates: dict[str, Rate] = {}
        self._windows: dict[tuple[str, str], _Window] = {}
        self.change(project=project, user=user, address=address, endpoint=endpoint)

    @property
    def first_policy(self) -> str:
        """The text of the first limit there is; the usual one per project where there is none."""
        scope, rate = next(iter(self._rates.items()), ("project", Rate(10, 1)))
        return self._text(_POLICIES[scope], rate)

    def change(self, **rates: str | None) -> None:
        """Other limits from now on for these scopes: `project`, `user`, `address`, `endpoint`.

        Windows keep what they have counted. `ValueError` for another scope or for what is no rate; nothing has changed
        then.
        """
        if unknown := rates.keys() - _POLICIES.keys():
            raise ValueError(f"there is no limit per {', '.join(sorted(unknown))}: use {', '.join(_POLICIES)}")
        new: dict[str, Rate | None] = {**self._rates, **{scope: parse_rate(text) for scope, text in rates.items()}}
        self._rates = {scope: rate for scope in _POLICIES if (rate := new.get(scope)) is not None}
        for scope, key in list(self._windows):
            if scope not in self._rates:
                del self._windows[scope, key]
            elif scope in rates:
                self._windows[scope, key].change(self._rates[scope])

    def forget(self) -> None:
        """As if nothing had arrived yet."""
        self._windows.clear()

    def refuse(self, at: float, project_id: str, user: str, address: str = "") -> str | None:
        """Judge and count one arrival: `None` admits it, else the limit it is over, by its text."""
        if not self._rates:
            return None
        keys = {"project": project_id, "user": user, "address": address, "endpoint": ""}
        windows = {scope: self._window(scope, keys[scope], rate) for scope, rate in self._rates.items()}
        full = [scope for scope, window in windows.items() if window.full(at)]
        if not full or self._count_refused:
            for window in windows.values():
                window.count(at)
        return self._text(_POLICIES[full[0]], self._rates[full[0]]) if full else None

    def _window(self, scope: str, key: str, rate: Rate) -> _Window:
        window = self._windows.get((scope, key))
        if window is None:
            window = self._windows[scope, key] = self._new_window(rate)
        return window
