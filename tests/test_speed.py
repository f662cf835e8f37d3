"""The floor: the shortest time that the limits permit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.models import Limits, Rate
from sdrs_async.report.speed import Floor, floor

NONE = {
    "project_rate": None,
    "project_concurrency": None,
    "user_rate": None,
    "endpoint_rate": None,
    "concurrency": None,
}


@pytest.mark.parametrize(
    ("limit", "projects", "latency", "expected"),
    [
        ({}, [1, 1], 0.2, Floor(0.2, "latency")),
        # performance.md: 50 projects x 200 groups at 50/s are 3.02 s at 20 ms.
        ({"project_rate": "50/s"}, [200] * 50, 0.02, Floor(3.02, "project rate")),
        ({"project_rate": "200/5min"}, [200], 0.02, Floor(0.02, "latency")),
        ({"project_rate": "200/5min"}, [201], 0.5, Floor(300.5, "project rate")),
        ({"project_rate": "200/5min"}, [150, 201, 0], 0.5, Floor(300.5, "project rate")),
        ({"user_rate": "10/s"}, [10, 11], 0.5, Floor(2.5, "user rate")),
        ({"endpoint_rate": "10/s"}, [10, 11], 0.5, Floor(2.5, "endpoint rate")),
        ({"project_concurrency": 2}, [4, 5], 1.0, Floor(3.0, "project concurrency")),
        ({"concurrency": 2}, [4, 5], 1.0, Floor(5.0, "concurrency")),
        ({"project_rate": "1/s", "endpoint_rate": "1/s"}, [3], 0.5, Floor(2.5, "project rate")),
        ({"project_rate": "1/s", "concurrency": 1}, [3], 0.5, Floor(2.5, "project rate")),
        ({"project_rate": "1/s"}, [], 0.5, Floor(0.0, None)),
        ({"project_rate": "1/s"}, [0, 0], 0.5, Floor(0.0, None)),
    ],
)
def test_the_tightest_scope_sets_the_floor(
    limit: dict[str, str | int], projects: list[int], latency: float, expected: Floor
) -> None:
    """Each limit permits its windows or slots at best; the one that permits least is the bottleneck."""
    found = floor(projects, Limits(**{**NONE, **limit}), latency)  # type: ignore[arg-type]  # names from the table
    assert (round(found.seconds, 9), found.bottleneck) == (expected.seconds, expected.bottleneck)


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=5),
    st.integers(1, 10),
    st.floats(0.1, 10),
    st.integers(1, 5),
    st.floats(0, 2),
)
def test_no_schedule_beats_the_floor(projects: list[int], n: int, per: float, slots: int, latency: float) -> None:
    """A perfect client, which starts every request at the first moment that is allowed, takes just as long at least."""
    limits = Limits(**{**NONE, "user_rate": Rate(n, per), "concurrency": slots})  # type: ignore[arg-type]  # as above
    starts: list[float] = []
    for number in range(sum(projects)):
        window = starts[number - n] + per if number >= n else 0.0
        slot = starts[number - slots] + latency if number >= slots else 0.0
        starts.append(max(window, slot))
    ideal = starts[-1] + latency if starts else 0.0
    assert floor(projects, limits, latency).seconds <= ideal + 1e-6


def test_the_higher_of_two_floors_wins_whatever_the_order() -> None:
    """For reports that are merged: the longer floor, and the name where both are equal."""
    none, short, low, high = Floor(), Floor(1.0, "latency"), Floor(2.0, "concurrency"), Floor(2.0, "user rate")
    assert none | short == short | none == short
    assert short | low | high == high | low | short == high
