"""The server's own limiter: so many requests in a window, per project, user and endpoint."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Limiter", "Rate", "parse_rate", "policy_text", "threshold_text"]

_FORM = re.compile(r"([1-9]\d*)/([1-9]\d*)?(s|min|h)", re.ASCII)
_SECONDS = {"s": 1, "min": 60, "h": 3600}


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


class _Window(Protocol):
    def full(self, at: float) -> bool: ...

    def count(self, at: float) -> None: ...


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


_WINDOWS: dict[str, Callable[[Rate], _Window]] = {"sliding": _Sliding, "fixed": _Fixed}


class Limiter:
    """Refuses what is above a rate. A request needs room in each of its windows, and is counted in all or none.

    `window`: `sliding` or `fixed` (starting at multiples of its length); `count_refused`: a refused request takes
    room too; `text`: how a refusal names a limit. Arrivals are given in order of time.
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        user: str | None = None,
        endpoint: str | None = None,
        window: str = "sliding",
        count_refused: bool = False,
        text: Callable[[str, Rate], str] = policy_text,
    ) -> None:
        if window not in _WINDOWS:
            raise ValueError(f"window {window!r} is not known: use sliding or fixed")
        rates = (("app", parse_rate(project)), ("user", parse_rate(user)), ("api", parse_rate(endpoint)))
        self._policies = [(name, rate) for name, rate in rates if rate is not None]
        self._new_window = _WINDOWS[window]
        self._count_refused = count_refused
        self._text = text
        self._windows: dict[tuple[str, str], _Window] = {}

    @property
    def first_policy(self) -> str:
        """The text of the first limit there is; the usual one per project where there is none."""
        return self._text(*(self._policies[0] if self._policies else ("app", Rate(10, 1))))

    def forget(self) -> None:
        """As if nothing had arrived yet."""
        self._windows.clear()

    def refuse(self, at: float, project_id: str, user: str) -> str | None:
        """Judge and count one arrival: `None` admits it, else the limit it is over, by its text."""
        if not self._policies:
            return None
        keys = {"app": project_id, "user": user, "api": ""}
        windows = [self._window(name, keys[name], rate) for name, rate in self._policies]
        full = [window.full(at) for window in windows]
        over = any(full)
        if not over or self._count_refused:
            for window in windows:
                window.count(at)
        return self._text(*self._policies[full.index(True)]) if over else None

    def _window(self, name: str, key: str, rate: Rate) -> _Window:
        window = self._windows.get((name, key))
        if window is None:
            window = self._windows[name, key] = self._new_window(rate)
        return window
