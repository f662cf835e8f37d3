"""Latencies in logarithmic buckets."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.errors import ConfigError
from sdrs_async.report.fields import Fields
from sdrs_async.report.latency import GROWTH, LOWEST, Latency

SECONDS = st.floats(LOWEST, 10_000.0)


def _latency(*seconds: float) -> Latency:
    latency = Latency()
    for one in seconds:
        latency.add(one)
    return latency


def _read(latency: Latency, **changed: Any) -> Latency:
    buckets = latency.buckets() | changed
    return Latency.from_fields(Fields(latency.to_dict(), "r.latency_ms"), Fields(buckets, "r.latency_buckets"))


@given(st.lists(SECONDS, min_size=1), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_half_a_bucket_of_the_exact_one(seconds: list[float], share: float) -> None:
    """Whatever the latencies, p50 and its like are off by about 1 % at most."""
    exact = sorted(seconds)[max(1, math.ceil(share * len(seconds))) - 1]
    found = _latency(*seconds).quantile(share)
    assert found is not None
    assert 1 / math.sqrt(GROWTH) - 1e-9 <= found / exact <= math.sqrt(GROWTH) + 1e-9


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_merging_is_the_same_as_having_counted_together(one: list[float], other: list[float]) -> None:
    """Two histograms put together are the histogram of all answers."""
    merged, together = _latency(*one), _latency(*one, *other)
    merged.absorb(_latency(*other))
    assert (merged.to_dict(), merged.buckets()) == (together.to_dict(), together.buckets())


@given(st.lists(SECONDS))
def test_it_can_be_read_back(seconds: list[float]) -> None:
    """What is written holds all that merging needs."""
    latency = _latency(*seconds)
    again = _read(latency)
    assert (again.to_dict(), again.buckets()) == (latency.to_dict(), latency.buckets())


def test_the_longest_latency_is_exact() -> None:
    """`max` is the longest answer itself, and no quantile is above it."""
    assert _latency(0.1, 0.2, 0.3).to_dict()["max"] == 300.0
    assert _latency(0.3).to_dict() == {"p50": 300.0, "p90": 300.0, "p99": 300.0, "max": 300.0}


def test_no_answer_has_no_latency() -> None:
    """Without an answer every figure is null, not zero."""
    assert Latency().to_dict() == {"p50": None, "p90": None, "p99": None, "max": None}


def test_extremes_stay_in_the_first_and_the_last_bucket() -> None:
    """A latency of zero and one of a day are counted, and the number of buckets stays bounded."""
    latency = _latency(0.0, LOWEST / 10, 86_400.0, 1e9)
    assert latency.buckets()["counts"] == {"0": 2, "950": 2}
    assert latency.to_dict()["max"] == 1e12


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"growth": 1.05}, "latency_buckets.growth"),
        ({"lowest_ms": 1}, "latency_buckets.lowest_ms"),
        ({"counts": {"951": 1}}, "latency_buckets.counts"),
        ({"counts": {"-1": 1}}, "latency_buckets.counts"),
        ({"counts": {"1": -1}}, "latency_buckets.counts.1"),
    ],
)
def test_another_scale_is_refused(changed: dict[str, Any], place: str) -> None:
    """Counts on another scale cannot be merged, so they are not read."""
    with pytest.raises(ConfigError, match=place):
        _read(_latency(0.1), **changed)
