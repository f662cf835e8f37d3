import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrs_async.models import Limits, Rate
from sdrs_async.pacing import Gate, Window
from tests.engine_runs import DELETED, Service, fleet, most_in_window, settle


def test_a_permit_is_free_again_one_window_after_its_answer() -> None:
    """A request sent at 0 and answered at 3 keeps its permit of 2/s until 4; the other one is free at once."""
    window = Window(Rate(2, 1))
    window.take()
    assert window.due == 0
    window.take()
    assert window.due == math.inf
    window.give_back(3)
    assert window.due == 4


def test_an_answer_out_of_turn_frees_only_its_own_permit() -> None:
    """While one request hangs, the other permits go round without it."""
    window = Window(Rate(2, 1))
    window.take()
    for second in range(0, 10, 2):
        window.take()
        window.give_back(second + 0.5)
        assert window.due == second + 1.5
    window.give_back(30)
    assert window.due == 0, "the other one has been free since 9.5"


def test_a_hold_is_never_cut_short() -> None:
    """Of two holds the later end counts, whichever comes first."""
    gate = Gate(None)
    gate.hold(10)
    gate.hold(5)
    assert gate.due() == 10


def test_refusals_during_a_hold_count_once() -> None:
    """Eight requests refused side by side are one refusal; the next one after the hold is the second."""
    gate = Gate(None)
    for _ in range(8):
        assert gate.refuse(now=1) == 1
        gate.hold(3)
    assert gate.refuse(now=4) == 2


@pytest.mark.parametrize(
    ("rate", "groups"), [("1/s", 60), ("10/s", 250), ("50/s", 1250), ("500/s", 6000), ("200/5min", 5000), ("3/10s", 60)]
)
def test_no_window_holds_more_than_the_rate_and_little_is_wasted(rate: str, groups: int) -> None:
    """In any window the server sees at most the limit, and after the first one at least 0.95 of it is used."""
    service = Service()
    settle(service, fleet(1, groups), Limits(rate, None, None, None, None))
    parsed = Rate.parse(rate)
    assert parsed is not None
    assert most_in_window(service.times, parsed.per) == parsed.count
    whole = int(service.times[-1] / parsed.per) - 1
    used = sum(parsed.per <= at < (1 + whole) * parsed.per for at in service.times)
    assert used / (whole * parsed.count) >= 0.95


def test_a_long_window_is_not_paced_out() -> None:
    """150 groups at 200 in five minutes are sent as soon as the first one is answered."""
    service = Service()
    settled = settle(service, fleet(1, 150), Limits("200/5min", None, None, None, None))
    assert len(settled.outcomes) == 150
    assert service.times[1:] == [pytest.approx(service.latency, abs=1e-3)] * 149


def test_a_projects_rate_is_its_own() -> None:
    """Five projects at 20/s each start 100 in their first second, and none more than its 20."""
    service = Service()
    settle(service, fleet(5, 30), Limits("20/s", 8, None, None))
    assert {most_in_window(times, 1) for times in service.arrived.values()} == {20}


@pytest.mark.parametrize("limits", [Limits(None, 8, "20/s", None), Limits(None, 8, None, "20/s")])
def test_the_rates_of_user_and_endpoint_are_shared(limits: Limits) -> None:
    """All projects together keep the rate, and each of them has its share of it."""
    service = Service()
    settle(service, fleet(5, 30), limits)
    assert most_in_window(service.times, 1) == 20
    assert {most_in_window(times, 1) for times in service.arrived.values()} == {4}


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 40),
    per=st.sampled_from([0.5, 1.0, 7.0, 60.0]),
    delays=st.lists(st.floats(0, 2), min_size=1, max_size=20),
    latency=st.floats(0, 0.5),
)
def test_the_network_cannot_break_the_promise(count: int, per: float, delays: list[float], latency: float) -> None:
    """However long requests and answers are under way, the server counts at most the limit in any window."""
    way = iter(delays * 1000)
    service = Service(latency=latency, delay=lambda: next(way))
    settled = settle(service, fleet(2, 3 * count), Limits(Rate(count, per), None, None, None, None))
    assert len(settled.outcomes) == 6 * count
    for times in service.arrived.values():
        assert most_in_window(sorted(times), per) <= count


def test_a_request_without_answer_blocks_its_own_permit_only() -> None:
    """One request in a hundred is lost for 30 s: the others go on at 49 of 50 permits, and no window is broken."""
    service = Service(answer=lambda t, n: None if t.server_group_id == "g10" and n == 1 else DELETED)
    settled = settle(service, fleet(1, 1000), Limits("50/s", None, None, None, None))
    assert len(settled.outcomes) == 1000
    assert most_in_window(service.times, 1) == 50
    assert service.times[999] < 1000 / 49 * 1.03, "all but its second try went out before its time-out"
