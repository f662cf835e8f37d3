from __future__ import annotations

from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.cloud.answers import parse_throttle
from sdrs_async.laboratory.gateways import Gateway
from sdrs_async.laboratory.policies import Caller, Policy, parse_gateway
from sdrs_async.limits import Rate
from tests.support.engine_runs import most_in_window

# Eighths of a second are exact, so that no rounding decides whether an arrival lies on the edge of a window.
TIMES = st.lists(st.integers(0, 12), min_size=1, max_size=80).map(lambda gaps: [at / 8 for at in accumulate(gaps)])
P = Caller("p")


def let_in(policy: Policy, times: list[float], ahead: float = 0.0) -> list[float]:
    """Those of the times at which a request of one project is let in."""
    gateway = Gateway([policy], ahead)
    return [at for at in times if gateway.ask(P, at) is None]


@pytest.mark.parametrize(
    ("policy", "times", "expected"),
    [
        (Policy(2), [0, 0.5, 0.75, 1, 1.25, 1.5], [0, 0.5, 1, 1.5]),
        (Policy(2, window="fixed"), [0.75, 0.875, 0.9, 1, 1.5, 1.75, 2], [0.75, 0.875, 1, 1.5, 2]),
        (Policy(2, count_refused=True), [0, 0.5, 0.75, 1, 1.25, 2, 3], [0, 0.5, 2, 3]),
        (Policy(2, window="fixed", count_refused=True), [0, 0.1, 0.2, 0.9, 1], [0, 0.1, 1]),
        (Policy(2, window="bucket"), [0, 0, 0, 0.25, 0.5, 0.75, 1, 9, 9, 9], [0, 0, 0.5, 1, 9, 9]),
        (Policy(2, window="bucket", capacity=4), [0, 0, 0, 0, 0, 0.5], [0, 0, 0, 0, 0.5]),
        (Policy(2, window="leaky"), [0, 0.25, 0.5, 0.75, 1], [0, 0.5, 1]),
        (Policy(2, window="leaky", capacity=2), [0, 0, 0, 0.5, 0.5, 1], [0, 0, 0.5, 1]),
        (Policy(1, per=2), [0, 1, 2, 3, 4], [0, 2, 4]),
        (Policy(2, changes=((2, 1), (4, 3))), [0, 0, 2, 2, 3, 4, 4, 4, 4], [0, 0, 2, 3, 4, 4, 4]),
    ],
)
def test_who_is_let_in(policy: Policy, times: list[float], expected: list[float]) -> None:
    """Each kind of limit lets in what its own rule says, arrival by arrival."""
    assert let_in(policy, times) == expected


@given(TIMES, st.integers(1, 5), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_sliding_window_admits_no_more_than_its_limit_and_refuses_no_less(
    times: list[float], count: int, per: float
) -> None:
    """In no window of its length are there more, and what is refused would have been one too many."""
    accepted = let_in(Policy(count, per, told=False), times)
    assert most_in_window(accepted, per) <= count
    before = Counter(accepted)
    for at in times:
        if before[at]:
            before[at] -= 1
        else:
            assert sum(at - per < one <= at for one in accepted) == count


@given(TIMES, st.integers(1, 5), st.integers(0, 8))
def test_a_fixed_window_admits_its_limit_in_each_of_its_windows(times: list[float], count: int, ahead: int) -> None:
    """Its windows begin at whole times of its own clock, and the next knows nothing of the one before."""
    counted = Counter((at * 8 + ahead) // 8 for at in let_in(Policy(count, window="fixed"), times, ahead / 8))
    arrived = Counter((at * 8 + ahead) // 8 for at in times)
    assert counted == {number: min(count, arrivals) for number, arrivals in arrived.items()}


@given(TIMES, st.integers(1, 5), st.integers(1, 7), st.sampled_from(["bucket", "leaky"]))
def test_a_bucket_admits_its_capacity_and_what_has_flowed_back(
    times: list[float], count: int, capacity: int, window: str
) -> None:
    """From any arrival to any other there are at most capacity + rate x time, both ends included."""
    accepted = let_in(Policy(count, window=window, capacity=capacity), times)
    for first, start in enumerate(accepted):
        for last, end in enumerate(accepted[first:], first):
            assert last - first + 1 <= capacity + count * (end - start) + 1e-9


def test_a_request_needs_room_in_each_limit_and_counts_in_all_or_none() -> None:
    """What one limit refuses takes no room in another, unless that counts refusals; the first that refuses is named."""
    narrow, wide, strict = Policy(1), Policy(3, scope="user"), Policy(4, scope="api", count_refused=True)
    gateway = Gateway([narrow, wide, strict])
    asked = [gateway.ask(Caller(project), 0.0) for project in ("a", "a", "b", "c", "d")]
    assert asked == [None, narrow, None, None, wide]
    assert gateway.ask(Caller("e", "other"), 0.5) is strict


@pytest.mark.parametrize(
    ("scope", "others"),
    [("project", [True, True, True]), ("user", [False, True, False]), ("api", [False, False, True])],
)
def test_whom_a_limit_is_for(scope: str, others: list[bool]) -> None:
    """Another project, another user, another endpoint: each has a limit of its own where the scope says so."""
    gateway = Gateway([Policy(1, scope=scope)])
    assert gateway.ask(Caller("p", "u", "e"), 0.0) is None
    asked = [Caller("q", "u", "e"), Caller("r", "v", "e"), Caller("s", "u", "f")]
    assert [gateway.ask(caller, 0.0) is None for caller in asked] == others


def test_the_log_tells_what_arrived() -> None:
    """Time, caller and whether it was let in, in the order of arrival."""
    gateway = Gateway([Policy(1)])
    for project, at in (("a", 0.0), ("b", 0.25), ("a", 0.5)):
        gateway.ask(Caller(project), at)
    assert list(gateway.log()) == [(0.0, Caller("a"), True), (0.25, Caller("b"), True), (0.5, Caller("a"), False)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(200, 300, scope="user"), ("user", Rate(200, 300))),
        (Policy(9, scope="api"), ("endpoint", Rate(9))),
        (Policy(9, 7200, scope="address"), ("endpoint", Rate(9, 7200))),
        (Policy(9, 90), ("project", Rate(9, 90))),
        (Policy(9, scope="user", told=False), ("project", None)),
    ],
)
def test_a_429_names_its_limit_as_the_client_reads_it(policy: Policy, expected: tuple[str, Rate | None]) -> None:
    """A told limit is read with its scope and window; one that is not told is nobody's in particular."""
    assert parse_throttle(policy.message(0.0)) == expected


def test_a_429_names_the_limit_in_force() -> None:
    """After a change the text has the new count."""
    policy = Policy(50, changes=((60.0, 17),))
    assert [parse_throttle(policy.message(at))[1] for at in (59.9, 60.0)] == [Rate(50), Rate(17)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user=200/5min", Policy(200, 300.0, "user")),
        ("endpoint=200/s window=fixed", Policy(200, 1.0, "api", "fixed")),
        ("project=10/s told=no refusals=counted", Policy(10, told=False, count_refused=True)),
        ("address=5/s window=bucket capacity=20", Policy(5, 1.0, "address", "bucket", 20)),
        ("project=50/s then=17@60,50@120", Policy(50, changes=((60.0, 17), (120.0, 50)))),
        ("project=5/0.5s", Policy(5, 0.5, told=False)),
        (" user=1/2h  told=yes ", Policy(1, 7200.0, "user")),
    ],
)
def test_a_gateway_is_read_from_a_flag(text: str, expected: Policy) -> None:
    """Scope and rate first, then what differs from the usual gateway."""
    assert parse_gateway(text) == expected


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "begin with project, user, endpoint or address"),
        ("200/5min", "begin with project"),
        ("fleet=10/s", "begin with project"),
        ("user=ten/s", "like user=200/5min"),
        ("user=0/s", "at least 1 request"),
        ("user=10/s window=round", "window 'round' is not known"),
        ("user=10/s told=maybe", "told=maybe is not known: use yes or no"),
        ("user=10/s refusals=no", "use counted or free"),
        ("user=10/s capacity=9", "only a bucket"),
        ("user=10/s window=bucket capacity=x", "capacity=x is no number"),
        ("user=10/s window=bucket capacity=0", "a capacity is at least 1"),
        ("user=10/s window=leaky refusals=counted", "does not count what it refuses"),
        ("user=10/0.5s told=yes", "whole seconds"),
        ("user=10/s then=5", "like 17@60,50@120"),
        ("user=10/s then=5@60,9@60", "one after the other"),
        ("user=10/s burst=3", "'burst=3' is not known"),
    ],
)
def test_a_flag_that_is_no_gateway_is_refused(text: str, wrong: str) -> None:
    """The error says what is wrong, and how to write it."""
    with pytest.raises(ValueError, match=wrong):
        parse_gateway(text)


@pytest.mark.parametrize("how", [{"scope": "fleet"}, {"per": 0.0}, {"count": -1}, {"changes": ((9.0, 0),)}])
def test_a_limit_that_nobody_can_keep_is_refused(how: dict[str, object]) -> None:
    """A policy that is built in code is checked as one that is read."""
    with pytest.raises(ValueError, match=r"at least 1|not known"):
        Policy(**{"count": 1, **how})  # type: ignore[arg-type]
