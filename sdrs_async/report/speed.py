"""The shortest time in which a run could have done its work under its limits, and which of them sets it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Self

from sdrs_async.models import Limits, Rate
from sdrs_async.report.fields import Fields

__all__ = ["Floor", "floor"]


@dataclass(frozen=True, slots=True)
class Floor:
    """`seconds` that no run can beat; `bottleneck` says which limit sets them, `None` when nothing was sent."""

    seconds: float = 0.0
    bottleneck: str | None = None

    def __or__(self, other: Floor) -> Floor:
        """The higher of two; with equal seconds the name decides, so that the order does not."""
        return max(self, other, key=lambda one: (one.seconds, one.bottleneck or ""))

    def to_dict(self, duration: float | None) -> dict[str, Any]:
        """The speed of a report that took `duration` seconds; all null when nothing was answered.

        `None`: several runs, whose time together says nothing about how well each of them used its own.
        """
        if self.bottleneck is None:
            return {"floor_s": None, "efficiency": None, "bottleneck": None}
        efficiency = round(min(1.0, self.seconds / duration), 4) if duration else None
        return {"floor_s": self.seconds, "efficiency": efficiency, "bottleneck": self.bottleneck}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `to_dict`; `ConfigError` naming the key."""
        return cls(fields.optional_number("floor_s") or 0.0, fields.optional_text("bottleneck"))


def floor(projects: Collection[int], limits: Limits, latency: float) -> Floor:
    """The floor for these numbers of targets per project, one request each: retries are not work, but waste.

    A strict window of N per T lets n requests start in (ceil(n/N) - 1) x T at best, since the first N go out at once. A
    concurrency of N is the same with the `latency` (seconds, the median) as T. The tightest scope decides, and its
    last request still has to be answered.
    """
    if not any(projects):
        return Floor()
    starts = Floor(0.0, "latency")
    for bound in _bounds(max(projects), sum(projects), limits, latency):
        if bound.seconds > 0:
            starts |= bound
    return Floor(starts.seconds + latency, starts.bottleneck)


def _bounds(largest: int, everything: int, limits: Limits, latency: float) -> Iterator[Floor]:
    rates = (
        ("project rate", largest, limits.project_rate),
        ("user rate", everything, limits.user_rate),
        ("endpoint rate", everything, limits.endpoint_rate),
    )
    for name, targets, value in rates:
        if (rate := Rate.parse(value)) is not None:
            yield Floor(_rounds(targets, rate.count) * rate.per, name)
    caps = (
        ("project concurrency", largest, limits.project_concurrency),
        ("concurrency", everything, limits.concurrency),
    )
    for name, targets, cap in caps:
        if cap is not None:
            yield Floor(_rounds(targets, cap) * latency, name)


def _rounds(targets: int, at_once: int) -> int:
    """How often one has to wait when `at_once` may start together."""
    return max(0, -(-targets // at_once) - 1)
