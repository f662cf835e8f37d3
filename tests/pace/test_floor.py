"""The floor: the shortest time that the limits permit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.limits import Learned, Limits, Rate
from sdrs_async.pace.floor import Floor, Scopes

NONE: dict[str, Any] = {
    "project_rate": None,
    "project_concurrency": None,
    "user_rate": None,
    "endpoint_rate": None,
    "concurrency": None,
}


def _limits(**limits: Any) -> Limits:
    return Limits(**{**NONE, **limits})


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
        # 5 at once, then 5 per second, although 100 would be allowed within the minute.
        ({"user_rate": "100/min burst 5"}, [10, 10], 0.5, Floor(3.5, "user rate")),
        ({"user_rate": "10/min burst 5"}, [11, 10], 0.5, Floor(120.5, "user rate")),
        ({"project_rate": "1/s"}, [], 0.5, Floor(0.0, None)),
        ({"project_rate": "1/s"}, [0, 0], 0.5, Floor(0.0, None)),
    ],
)
def test_the_tightest_scope_sets_the_floor(
    limit: dict[str, str | int], projects: list[int], latency: float, expected: Floor
) -> None:
    """Each limit permits its windows or slots at best; the one that permits least is the bottleneck."""
    found = Scopes.of_one(_limits(**limit)).floor({"": projects}, latency)
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
    scopes = Scopes.of_one(_limits(user_rate=Rate(n, per), concurrency=slots))
    starts: list[float] = []
    for number in range(sum(projects)):
        window = starts[number - n] + per if number >= n else 0.0
        slot = starts[number - slots] + latency if number >= slots else 0.0
        starts.append(max(window, slot))
    ideal = starts[-1] + latency if starts else 0.0
    assert scopes.floor({"": projects}, latency).seconds <= ideal + 1e-6


def test_the_higher_of_two_floors_wins_whatever_the_order() -> None:
    """For reports that are merged: the longer floor, and the name where both are equal."""
    none, short, low, high = Floor(), Floor(1.0, "latency"), Floor(2.0, "concurrency"), Floor(2.0, "user rate")
    assert none | short == short | none == short
    assert short | low | high == high | low | short == high


# ---- several accounts

FAST, SLOW = _limits(user_rate="10/s"), _limits(user_rate="1/s", project_rate="2/s", project_concurrency=1)
PLACES = {"a": "https://one", "b": "https://one", "c": "https://other"}


@pytest.mark.parametrize(
    ("limits", "concurrency", "loads", "expected"),
    [
        # Each account has a user rate of its own: the slower one sets the pace, whatever the sum.
        ({"a": FAST, "b": FAST}, None, {"a": [100], "b": [50]}, Floor(9.5, "user rate")),
        ({"a": FAST, "b": SLOW}, None, {"a": [100], "b": [4, 4]}, Floor(9.5, "user rate")),
        ({"a": FAST, "b": SLOW}, None, {"a": [100], "b": [10, 10]}, Floor(19.5, "user rate")),
        ({"a": FAST, "b": _limits(project_rate="2/s")}, None, {"a": [9], "b": [3, 8]}, Floor(3.5, "project rate")),
        ({"a": FAST, "b": _limits(project_concurrency=1)}, None, {"a": [9], "b": [3, 8]},
         Floor(4.0, "project concurrency")),
        # Requests at a time are those of all; what an account's limits say of it bounds nothing.
        ({"a": FAST, "b": FAST}, 2, {"a": [10], "b": [10]}, Floor(5.0, "concurrency")),
        ({"a": _limits(concurrency=1), "b": FAST}, None, {"a": [10], "b": [10]}, Floor(0.5, "latency")),
        # The rate of an endpoint is that of all accounts there, and the lowest that one of them names.
        ({"a": _limits(endpoint_rate="5/s"), "b": _limits(endpoint_rate="10/s")}, None, {"a": [10], "b": [11]},
         Floor(4.5, "endpoint rate")),
        ({"a": _limits(), "b": _limits(endpoint_rate="10/s")}, None, {"a": [10], "b": [11]},
         Floor(2.5, "endpoint rate")),
        ({"a": _limits(endpoint_rate="5/s"), "c": _limits(endpoint_rate="5/s")}, None, {"a": [10], "c": [11]},
         Floor(2.5, "endpoint rate")),
        ({"a": _limits(endpoint_rate="200/5min"), "b": _limits(endpoint_rate="1/s")}, None, {"a": [100], "b": [100]},
         Floor(0.5, "latency")),
        ({"a": _limits(), "b": _limits(endpoint_rate="10/s")}, None, {"a": [30]}, Floor(2.5, "endpoint rate")),
    ],
)  # fmt: skip
def test_several_accounts_are_bounded_each_by_its_own_limits(
    limits: Mapping[str, Limits], concurrency: int | None, loads: Mapping[str, list[int]], expected: Floor
) -> None:
    """Project and user rates are the account's, the endpoint's rate is that of all there, concurrency that of all."""
    assert Scopes(limits, PLACES, concurrency).floor(loads, 0.5) == expected


def test_accounts_without_an_endpoint_share_none() -> None:
    """Where no URL is known, each account has an endpoint of its own."""
    limits = _limits(endpoint_rate="5/s")
    assert Scopes({"a": limits, "b": limits}).floor({"a": [10], "b": [10]}, 0.5) == Floor(1.5, "endpoint rate")


def test_what_there_is_to_do_is_of_the_accounts_that_have_limits() -> None:
    """Of several accounts each has its own; where only one has limits, without a name perhaps, all is of that one."""
    work = {"a": [3, 5], "b": [4]}
    assert Scopes({"a": FAST, "b": FAST}).loads(work) == work
    assert Scopes.of_one(FAST).loads(work) == {"": [3, 5, 4]}


# ---- limits that the server showed


@pytest.mark.parametrize(
    ("learned", "expected"),
    [
        (Learned("user", "a", Rate(10), True), Floor(2.5, "user rate (learned)")),
        (Learned("user", "b", Rate(10), False), Floor(9.5, "user rate (learned)")),
        (Learned("user", "nobody", Rate(1), True), Floor(0.5, "latency")),
        (Learned("endpoint", "https://one", Rate(10), True), Floor(12.5, "endpoint rate (learned)")),
        (Learned("endpoint", "https://other", Rate(1), True), Floor(0.5, "latency")),
        # Of how many projects is known, not of which: the smallest of them may be meant.
        (Learned("project", "b", Rate(10), True, 1), Floor(1.5, "project rate (learned)")),
        (Learned("project", "b", Rate(10), True, 2), Floor(2.5, "project rate (learned)")),
        (Learned("project", "b", Rate(10), True, 3), Floor(4.5, "project rate (learned)")),
        (Learned("project", "b", Rate(10), True, 9), Floor(4.5, "project rate (learned)")),
    ],
)
def test_what_was_learned_bounds_the_floor_too(learned: Learned, expected: Floor) -> None:
    """A learned limit holds beside the configured ones, in its own scope."""
    scopes = Scopes({"a": _limits(), "b": _limits()}, PLACES)
    assert scopes.floor({"a": [30], "b": [30, 20, 50]}, 0.5, [learned]) == expected


def test_with_one_account_all_that_was_learned_is_its_own() -> None:
    """Its limits need no name, nor its endpoint a URL."""
    scopes = Scopes.of_one(_limits(user_rate="20/s"))
    for scope in ("user", "endpoint"):
        bound = scopes.floor({"": [100]}, 0.5, [Learned(scope, "prod", Rate(10), True)])
        assert bound == Floor(9.5, f"{scope} rate (learned)")
    assert scopes.floor({"": [100]}, 0.5, [Learned("user", "prod", Rate(40), True)]) == Floor(4.5, "user rate")


def test_a_limit_that_only_confirms_the_configured_one_is_no_news() -> None:
    """A 429 that names what was configured teaches nothing; another rate, or another account's, does."""
    limits = {"a": _limits(user_rate="20/s burst 5", project_rate="5/s"), "b": _limits(endpoint_rate="9/s")}
    scopes = Scopes(limits, {"a": "https://a", "b": "https://b"})
    known = [
        Learned("user", "a", Rate(20), told=True),
        Learned("project", "a", Rate(5), told=True, projects=1),
        Learned("endpoint", "https://b", Rate(9), told=True),
    ]
    news = [
        Learned("user", "b", Rate(20), told=True),
        Learned("project", "a", Rate(4), told=True, projects=1),
        Learned("endpoint", "https://a", Rate(9), told=True),
    ]
    assert scopes.news([*known, *news]) == tuple(news)
    assert Scopes.of_one(limits["a"]).news([known[0], news[1]]) == (news[1],)
