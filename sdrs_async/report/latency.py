"""Latencies as counts in fixed logarithmic buckets: bounded in size, and merged by adding."""

from __future__ import annotations

import math
from typing import Any

from sdrs_async.errors import ConfigError
from sdrs_async.report.fields import Fields

LOWEST = 1e-4
"""Lower edge in seconds of the first bucket, which also takes everything below."""
GROWTH = 1.02
"""Upper edge of a bucket over its lower edge: a quantile is off by 1 % at most."""
_LAST = 950  # about 4 hours; longer ones land here, and only `max` tells them apart
_PER_LOG = 1 / math.log(GROWTH)


class Latency:
    """How long answers took. Seconds inside, milliseconds in JSON; at most 951 buckets, only those in use are held."""

    __slots__ = ("_buckets", "_max")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._max = 0.0

    def add(self, seconds: float) -> None:
        """Count one answer."""
        index = min(int(math.log(seconds / LOWEST) * _PER_LOG), _LAST) if seconds > LOWEST else 0
        self._buckets[index] = self._buckets.get(index, 0) + 1
        self._max = max(self._max, seconds)

    @property
    def count(self) -> int:
        """How many answers were counted."""
        return sum(self._buckets.values())

    def quantile(self, share: float) -> float | None:
        """Seconds within which a `share` (0 to 1) of the answers came: the middle of its bucket; `None` without any."""
        rank = max(1, math.ceil(share * self.count))
        for index in sorted(self._buckets):
            rank -= self._buckets[index]
            if rank <= 0:
                return min(LOWEST * math.pow(GROWTH, index + 0.5), self._max)
        return None

    def absorb(self, other: Latency) -> None:
        """Add the counts of another one to this one's."""
        for index, count in other._buckets.items():
            self._buckets[index] = self._buckets.get(index, 0) + count
        self._max = max(self._max, other._max)

    def to_dict(self) -> dict[str, float | None]:
        """The quantiles p50, p90, p99 and the exact maximum, in milliseconds; `None` without an answer."""
        quantiles = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
        seconds = {name: self.quantile(share) for name, share in quantiles.items()}
        seconds["max"] = self._max if self._buckets else None
        return {name: None if value is None else round(value * 1000, 3) for name, value in seconds.items()}

    def buckets(self) -> dict[str, Any]:
        """What merging needs: the counts by number of bucket, and the scale they are on."""
        counts = {str(index): self._buckets[index] for index in sorted(self._buckets)}
        return {"lowest_ms": LOWEST * 1000, "growth": GROWTH, "counts": counts}

    @classmethod
    def from_fields(cls, shown: Fields, buckets: Fields) -> Latency:
        """Read back `to_dict` and `buckets`; `ConfigError` for another scale or a bucket that is not on it."""
        for key, expected in (("lowest_ms", LOWEST * 1000), ("growth", GROWTH)):
            if buckets.number(key) != expected:
                raise buckets.wrong(key, f"must be {expected:g}, the scale of this version")
        latency = cls()
        for key, count in buckets.counts("counts").items():
            latency._buckets[_index(buckets, key)] = count
        if latency._buckets:
            latency._max = shown.number("max") / 1000
        return latency


def _index(buckets: Fields, key: str) -> int:
    if key.isdecimal() and key.isascii() and len(key) <= 3 and int(key) <= _LAST:
        return int(key)
    raise ConfigError(f"{buckets.path}.counts: {key!r} is not a bucket from 0 to {_LAST}")
