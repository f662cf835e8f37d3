"""What a user may set: rates, requests in flight, how often and how long a target is tried."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from sdrs_async.errors import ConfigError, check, is_time, is_whole

_COUNT, _TIME = "a whole number of at least 1", "a number of seconds above 0"
# What the windows can count and time exactly, and no more than anybody means.
_MOST, _MOST_AT_ONCE = 999_999_999_999, 999_999_999
_SHORTEST, _LONGEST = 1e-6, 1e11

_RATE = re.compile(
    r"(?P<count>\d{1,12})\s*/\s*(?P<units>\d+(?:\.\d+)?(?:e[+-]?\d+)?)?\s*(?P<unit>[a-z]+)"
    r"(?:\s+burst\s+(?P<burst>\d{1,12}))?",
    re.ASCII,
)
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
_UNITS = (("h", 3600.0), ("min", 60.0), ("s", 1.0))


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in any window of `per` seconds: 1 to 999,999,999,999 in 1e-6 to 1e11 seconds.

    `burst`: besides, at most so many in any one second; without it a long window may be used up at once.
    """

    count: int
    per: float = 1.0
    burst: int | None = None

    def __post_init__(self) -> None:
        check(is_whole(self.count), "the count of a rate", _COUNT, self.count)
        check(is_time(self.per), "the time of a rate", _TIME, self.per)
        check(self.count <= _MOST, "the count of a rate", f"at most {_MOST:,}", self.count)
        check(_SHORTEST <= self.per <= _LONGEST, "the time of a rate", "from 1e-6 to 1e11 seconds", self.per)
        check(self.burst is None or is_whole(self.burst), "the burst of a rate", f"{_COUNT}, or None", self.burst)

    @classmethod
    def parse(cls, value: Rate | str | None) -> Rate | None:
        """`"10/s"`, `"200/5min"`, `"200/5min burst 20"`, a `Rate`, or `None` / `"none"` for unlimited.

        Raises `ConfigError`.
        """
        if value is None or isinstance(value, Rate):
            return value
        text = value.strip().lower() if isinstance(value, str) else ""
        if text == "none":
            return None
        match = _RATE.fullmatch(text)
        if match is None:
            raise ConfigError(f"rate {value!r:.80} is not understood: write it like 10/s, 200/5min or none")
        if match["unit"] not in _SECONDS:
            raise ConfigError(f"rate {value!r} has an unknown unit {match['unit']!r}: use s, min or h")
        burst = None if match["burst"] is None else int(match["burst"])
        return cls(int(match["count"]), float(match["units"] or 1) * _SECONDS[match["unit"]], burst)

    def __str__(self) -> str:
        # Only where it comes back exactly.
        whole = (one for one in _UNITS if self.per % one[1] == 0 and self.per < 1e9)
        unit, length = next(whole, ("s", 1.0))
        units = "" if self.per == length else str(float(self.per / length)).removesuffix(".0")
        return f"{self.count}/{units}{unit}{'' if self.burst is None else f' burst {self.burst}'}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates per scope and requests in flight. Rates take what `Rate.parse` takes; `None` lifts one.

    Defaults: 200/s per endpoint is the gateway's own, per API (the vendor's API Request Signing Guide).
    """

    project_rate: Rate | str | None = "10/s"
    project_concurrency: int | None = 8
    user_rate: Rate | str | None = None
    endpoint_rate: Rate | str | None = "200/s"
    concurrency: int | None = 64

    def __post_init__(self) -> None:
        for name in ("project_rate", "user_rate", "endpoint_rate"):
            object.__setattr__(self, name, Rate.parse(getattr(self, name)))
        for name in ("project_concurrency", "concurrency"):
            if (value := getattr(self, name)) is not None:
                check(is_whole(value), name, f"{_COUNT}, or None for no cap", value)
                check(value <= _MOST_AT_ONCE, name, f"at most {_MOST_AT_ONCE:,}, or None for no cap", value)


@dataclass(frozen=True, slots=True)
class Learned:
    """A limit that the server showed in a run.

    `scope`: `project`, `user` or `endpoint`; `account`: the name of the account, of an endpoint its URL; `rate`: in
    force at the end; `told`: a 429 named it, else it was found by trying; `projects`: of how many, in scope project.
    """

    scope: str
    account: str
    rate: Rate
    told: bool
    projects: int = 0


@dataclass(frozen=True, slots=True)
class UsedUp:
    """A limit that is used up at present, while something waits for it: nothing starts under it for `seconds`.

    `scope` and `account` as of `Learned`; `rate`: the limit; `origin`: `configured`, `told` by a 429, or `learned` by
    trying; `projects`: of how many, in scope project, the longest wait of which `seconds` is.
    """

    scope: str
    account: str
    rate: Rate
    origin: str
    seconds: float
    projects: int = 0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a target is tried.

    `attempts`: tries per target; `timeout`: seconds per try; `base` and `cap`: seconds of the first and the longest
    wait; `total`: seconds per target in all, counted from its first try, throttling included.
    """

    attempts: int = 5
    timeout: float = 30.0
    base: float = 0.5
    cap: float = 30.0
    total: float = 600.0

    def __post_init__(self) -> None:
        check(is_whole(self.attempts), "attempts", _COUNT, self.attempts)
        check(self.attempts <= _MOST_AT_ONCE, "attempts", f"at most {_MOST_AT_ONCE:,}", self.attempts)
        for name in ("timeout", "base", "cap", "total"):
            value = getattr(self, name)
            check(is_time(value), name, _TIME, value)
            check(value <= _LONGEST, name, "at most 1e11 seconds", value)


def backoff(policy: RetryPolicy, attempt: int, rng: Random, factor: float = 1.0) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1): full jitter under an exponential ceiling."""
    ceiling = policy.base * factor * 2.0 ** min(attempt - 1, 30)
    return rng.uniform(0.0, min(policy.cap, ceiling))
