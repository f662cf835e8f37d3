import asyncio
import math
import sys
import tracemalloc
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.limits import Limits, Rate
from sdrs_async.models import Call, Reply, Verdict
from sdrs_async.pace.meter import Gate
from tests.support.engine_runs import DELETED, Service, fleet, most_in_window, settle


def test_a_hold_is_never_cut_short() -> None:
    """Of two holds the later end counts, whichever comes first."""
    gate = Gate(None)
    gate.hold(10)
    gate.hold(5)
    assert gate.due() == 10


@pytest.mark.parametrize(
    ("rate", "groups"), [("1/s", 60), ("10/s", 250), ("50/s", 500), ("500/s", 2500), ("200/5min", 1200), ("3/10s", 60)]
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


@pytest.mark.parametrize(("rate", "seconds"), [("100/s", 1 / 1.16), ("10/s", 1 / 1.506), ("1000/2s", 2 / 1.1)])
def test_starts_are_spread_over_the_window_a_little_quicker_than_the_rate(rate: str, seconds: float) -> None:
    """The first at once, each one later but for 2 ms: permits that come free together do not queue for their start."""
    parsed = Rate.parse(rate)
    gate, now, starts = Gate(parsed), 0.0, list[float]()
    assert parsed is not None
    for _ in range(parsed.count):
        now = max(now, gate.due())
        gate.enter(now)
        starts.append(now)
    assert starts[0] == 0.0
    assert starts[-1] == pytest.approx(seconds * (parsed.count - 1) / parsed.count, abs=0.003)
    step = seconds / parsed.count
    assert most_in_window(starts, step - 1e-6) <= 1 + math.ceil(0.002 / step), "no burst but for 2 ms"


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


@given(
    count=st.integers(1, 20),
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
        assert most_in_window(sorted(times), per - 1e-9) <= count, "but for the rounding of a sum"


def test_a_request_without_answer_blocks_its_own_permit_only() -> None:
    """One request in a hundred is lost for 30 s: the others go on at 49 of 50 permits, and no window is broken."""
    service = Service(answer=lambda t, n: None if t.server_group_id == "g10" and n == 1 else DELETED)
    settled = settle(service, fleet(1, 1000), Limits("50/s", None, None, None, None))
    assert len(settled.outcomes) == 1000
    assert most_in_window(service.times, 1) == 50
    assert service.times[999] < 1000 / 49 * 1.03, "all but its second try went out before its time-out"


# ---- several windows, and what the server told


def starts(gate: Gate, seconds: float, trip: float = 0.02, begin: float = 0.0) -> list[float]:
    """When a gate starts requests that are each let through after `trip`, from `begin` on for so many seconds."""
    times: list[float] = []
    out: deque[float] = deque()
    now = begin
    while True:
        due = gate.due()
        if out and out[0] + trip <= max(due, now):
            now = max(now, out[0] + trip)
            gate.accept(now, out[0])
            gate.leave(now)
            out.popleft()
            continue
        now = max(now, due)
        if now >= begin + seconds:
            return times
        gate.enter(now)
        times.append(now)
        out.append(now)


def test_a_burst_is_a_promise_of_its_own() -> None:
    """200 in five minutes and 20 in any second: neither is broken, and both are used."""
    times = starts(Gate(Rate(200, 300.0, burst=20)), 320)
    assert most_in_window(times, 1.0) == 20
    assert most_in_window(times, 300.0) == 200
    assert times[199] < 11


def test_a_long_window_without_a_burst_goes_at_once() -> None:
    """150 of 200 in five minutes are due at the first moment."""
    gate = Gate(Rate(200, 300.0))
    for _ in range(150):
        assert gate.due() <= 0
        gate.enter(0.0)


def test_a_told_limit_holds_until_its_window_has_room() -> None:
    """150 of 200 per 5 minutes were sent from 1,000 on, the others by somebody: it goes on 300 s after the first."""
    gate = Gate(None)
    for number in range(150):
        gate.enter(1000.0 + number * 0.1)
        gate.accept(1000.02 + number * 0.1, 1000.0 + number * 0.1)
        gate.leave(1000.02 + number * 0.1)
    gate.enter(1015.0)
    assert gate.refuse(1015.02, 1015.0, Rate(200, 300.0), None) == pytest.approx(1300.0, abs=0.5)
    gate.leave(1015.02)
    assert gate.due() == gate.held_until
    assert gate.learned == (Rate(200, 300.0), True)
    times = starts(gate, 400, begin=1300.1)
    assert most_in_window([*(1000.0 + number * 0.1 for number in range(150)), 1015.0, *times], 300.0) <= 200


def test_what_is_on_its_way_counts_under_a_told_limit() -> None:
    """Ten let through and five on their way under 12 per 10 s: room comes with the answers, and not before."""
    gate = Gate(None)
    for number in range(16):
        gate.enter(number * 0.001)
    for _ in range(10):
        gate.accept(0.03, 0.0)
        gate.leave(0.03)
    gate.refuse(0.04, 0.01, Rate(12, 10.0), None)
    gate.leave(0.04)
    assert gate.due() >= 10.0
    for _ in range(5):
        gate.accept(4.0, 0.015)
        gate.leave(4.0)
    assert len([at for at in starts(gate, 3.9, begin=10.05) if at < 13.95]) <= 12 - 5


def test_a_told_limit_does_not_lift_the_configured_one() -> None:
    """Told 200 per 5 minutes under 10/s: both are kept. Told more than is configured changes nothing."""
    gate = Gate(Rate(10))
    first = starts(gate, 1.0)
    gate.enter(2.0)
    gate.refuse(2.02, 2.0, Rate(200, 300.0), 5.0)
    gate.leave(2.02)
    later = starts(gate, 600, begin=7.0)
    times = [*first, 2.0, *later]
    assert most_in_window(times, 1.0 - 1e-9) == 10
    assert most_in_window(times, 300.0 - 1e-9) == 200
    gate = Gate(Rate(10))
    gate.enter(0.0)
    gate.refuse(0.02, 0.0, Rate(50, 1.0), None)
    gate.leave(0.02)
    assert most_in_window(starts(gate, 5, begin=2), 1.0 - 1e-9) == 10


def test_two_limits_that_were_told_hold_both() -> None:
    """Of 5 per second and 20 per minute neither replaces the other; one of the same length does."""
    gate = Gate(None)
    for now, told in ((0.0, Rate(5, 1.0)), (20.0, Rate(20, 60.0)), (40.0, Rate(4, 1.0))):
        gate.enter(now)
        gate.refuse(now + 0.02, now, told, None)
        gate.leave(now + 0.02)
    times = starts(gate, 180, begin=110)
    assert most_in_window(times, 1.0 - 1e-9) == 4
    assert most_in_window(times, 60.0 - 1e-9) == 20


def test_retry_after_wins() -> None:
    """Over the window that is told, and over what would be guessed; up to a quarter of an hour."""
    for told in (Rate(200, 300.0), None):
        gate = Gate(Rate(10))
        gate.enter(0.0)
        assert gate.refuse(0.02, 0.0, told, 7.0) == pytest.approx(7.02)
        gate.leave(0.02)
        gate.enter(20.0)
        assert gate.refuse(20.02, 20.0, told, 1e6) == pytest.approx(920.02)


def test_a_refusal_that_was_sent_before_the_last_was_heeded_changes_nothing() -> None:
    """Eight side by side are one cause: the same hold, the same limit."""
    gate = Gate(Rate(10))
    for number in range(8):
        gate.enter(number * 0.001)
    until = gate.refuse(0.02, 0.0, Rate(6, 2.0), None)
    gate.leave(0.02)
    for number in range(1, 8):
        assert gate.refuse(0.02 + number * 0.001, number * 0.001, Rate(3, 9.0), 60.0) == until
        gate.leave(0.02 + number * 0.001)
    assert gate.learned == (Rate(6, 2.0), True)


def test_a_told_limit_that_is_refused_though_it_was_kept_is_adapted() -> None:
    """Somebody else uses a part of it: what is kept is less than what was told, and found by trying."""
    gate = Gate(None)
    gate.enter(0.0)
    gate.refuse(0.02, 0.0, Rate(10, 1.0), None)
    gate.leave(0.02)
    starts(gate, 20, begin=2)
    now = max(gate.due(), 23.0)
    for _ in range(3):
        gate.enter(now)
        now = gate.refuse(now + 0.02, now, Rate(10, 1.0), None)
        gate.leave(now + 0.02)
    assert gate.learned is not None
    rate, told = gate.learned
    assert not told
    assert rate.count / rate.per < 10


@given(
    rate=st.none() | st.builds(Rate, st.integers(1, 30), st.sampled_from([1.0, 5.0, 60.0])),
    told=st.builds(Rate, st.integers(1, 30), st.sampled_from([0.5, 1.0, 10.0, 60.0])),
    trip=st.floats(0.001, 0.5),
    before=st.floats(0, 20),
)
def test_no_window_is_above_what_was_told(rate: Rate | None, told: Rate, trip: float, before: float) -> None:
    """Whatever was sent before and is on its way: of what is sent from then on no window holds more than the limit."""
    gate = Gate(rate)
    if rate is not None:
        starts(gate, before, trip)
    now = max(gate.due() if gate.due() < 1e9 else 0.0, before) + trip
    gate.enter(now)
    gate.refuse(now + trip, now, told, None)
    gate.leave(now + trip)
    times = starts(gate, 3 * told.per, trip, begin=now + trip)
    assert most_in_window(times, told.per - 1e-9) <= told.count
    if rate is not None:
        assert most_in_window([now, *times], rate.per - 1e-9) <= rate.count


def refused_at(gate: Gate, now: float, told: Rate | None = None, retry_after: float | None = None) -> float:
    """One request at that time, refused 20 ms later; until when the gate holds."""
    gate.enter(now)
    until = gate.refuse(now + 0.02, now, told, retry_after)
    gate.leave(now + 0.02)
    return until


def test_a_few_times_a_minute_retry_after_is_all_that_counts() -> None:
    """Three 429s in a minute that say how long to wait set no limit; the fourth begins the search for one."""
    gate = Gate(Rate(10))
    for now in (1.0, 2.0, 3.0, 4.0):
        assert gate.learned is None
        gate.enter(now)
        gate.accept(now + 0.02, now)
        gate.leave(now + 0.02)
        assert refused_at(gate, now + 0.2, retry_after=0.5) == pytest.approx(now + 0.72)
    assert gate.learned is not None


def test_retry_after_of_another_minute_counts_anew() -> None:
    """A 429 now and then is no limit."""
    gate = Gate(Rate(10))
    for now in range(0, 300, 20):
        refused_at(gate, float(now), retry_after=0.5)
    assert gate.learned is None


def test_a_limit_that_is_told_is_learned_whatever_retry_after_says() -> None:
    """How long to wait is the header's, at which rate to go on the text's."""
    gate = Gate(None)
    assert refused_at(gate, 0.0, Rate(5, 60), retry_after=7.0) == 7.02
    assert gate.learned == (Rate(5, 60), True)


def test_a_told_limit_that_is_refused_soon_after_is_waited_out() -> None:
    """More had been used than was known: after a whole window it is all there, and what was told still holds."""
    gate = Gate(None)
    refused_at(gate, 0.0, Rate(5, 10))
    now = gate.due()
    assert now <= 10.02
    assert refused_at(gate, now, Rate(5, 10)) == pytest.approx(now + 10.02)
    assert gate.learned == (Rate(5, 10), True)
    now += 10.02
    starts = list[float]()
    while gate.due() <= now and len(starts) < 9:
        gate.enter(now)
        starts.append(now)
        now = max(now, min(gate.due(), now + 5))
    assert len(starts) == 5


def test_a_gate_without_a_rate_remembers_what_came_for_the_limit_that_it_may_be_told() -> None:
    """20 requests come late in a burst; told 20 in 10 s, the next one waits until two of these are old.

    The one that is refused takes room as well: some gateways count it.
    """
    gate = Gate(None)
    gate.enter(0.0)
    gate.leave(0.02)
    for number in range(20):
        gate.enter(3.0 + number / 100)
        gate.leave(3.02 + number / 100)
    assert refused_at(gate, 3.3, Rate(20, 10)) == pytest.approx(13.03)


class Losing(Service):
    """Counts most requests when they start; every 20th only after 0.3 s, in the moment when its connection breaks."""

    async def send(self, call: Call, timeout: float, /) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
        """Answer after 20 ms, or not at all."""
        target, loop = self.target_of(call), asyncio.get_running_loop()
        started, lost = loop.time(), len(self.calls) % 20 == 19
        self.calls.append((math.inf, target))
        place = len(self.calls) - 1
        await asyncio.sleep(0.3 if lost else 0.0)
        self.calls[place] = loop.time(), target
        if lost:
            return Reply(Verdict.UNREACHABLE, message="reset", lost=True, elapsed=0.3)
        await asyncio.sleep(self.latency)
        return replace(DELETED, elapsed=loop.time() - started)


@pytest.mark.parametrize(
    "limits",
    [Limits("1/s", None, None, None), Limits(None, None, "1/s", None), Limits(None, None, None, "1/s")],
)
def test_a_request_that_is_lost_counts_until_its_connection_broke(limits: Limits) -> None:
    """Every answer takes 20 ms; where there is none the request may have come as late as its connection broke."""
    service = Losing()
    settle(service, fleet(1, 200), limits)
    assert most_in_window(sorted(service.times), 1.0 - 1e-5) == 1


@pytest.mark.parametrize(
    "limits",
    [Limits("1/s", None, None, None), Limits(None, None, "1/s", None), Limits(None, None, None, "1/s")],
)
def test_a_proof_costs_the_round_trip_and_no_more(limits: Limits) -> None:
    """Every answer takes 20 ms: permits go round in 1.02 s."""
    service = Service()
    settle(service, fleet(1, 200), limits)
    assert service.times[-1] - service.times[99] == pytest.approx(100 * 1.02, abs=0.1)


def test_a_limit_that_is_found_is_kept_to_beside_one_that_was_told() -> None:
    """Found first as 5/s, then told as 5/s, later refused though kept: what is then found by trying is in force."""
    gate = Gate(Rate(100))
    for number in range(5):
        gate.enter(number / 100)
        gate.accept(number / 100 + 0.02, number / 100)
        gate.leave(number / 100 + 0.02)
    refused_at(gate, 0.05)
    starts(gate, 14, begin=0.1)
    refused_at(gate, max(gate.due(), 15.0), Rate(5))
    starts(gate, 10, begin=max(gate.due(), 17.0))
    for now in (30.0, 33.0, 36.0):
        refused_at(gate, max(gate.due(), now), Rate(5))
    refused_at(gate, starts(gate, 4, begin=max(gate.due(), 40.0))[-1])
    assert gate.learned is not None
    rate, told = gate.learned
    assert not told
    assert rate.count / rate.per < 5
    assert most_in_window(starts(gate, 12, begin=gate.due()), rate.per - 1e-9) <= rate.count + 1


def test_a_told_limit_that_has_risen_replaces_the_lower_one() -> None:
    """Told 5/s, and 10/s five seconds later: the gateway's limit has changed."""
    gate = Gate(None)
    refused_at(gate, 0.0, Rate(5))
    refused_at(gate, 5.0, Rate(10))
    assert most_in_window(starts(gate, 5, begin=10), 1 - 1e-9) == 10


def test_a_text_may_name_any_number_and_any_times() -> None:
    """A limit of 10^12 - 1 costs no memory worth mentioning, nor do fifty different windows."""
    gate = Gate(Rate(50))
    tracemalloc.start()
    try:
        refused_at(gate, 0.0, Rate(10**12 - 1, 86_400))
        for number in range(50):
            refused_at(gate, gate.due() + 1.0, Rate(10**6, 1.0 + number))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert most_in_window(starts(gate, 5, begin=gate.due() + 10), 1 - 1e-9) == 50


def test_a_429_after_hours_costs_no_more_than_one_after_minutes() -> None:
    """A hundred thousand requests are not gone through one by one to know those of the last minute."""
    gate = Gate(Rate(1000))
    gate.enter(0.0)
    for number in range(1, 100_000):
        now = number / 100
        gate.enter(now)
        gate.leave(now)
    counted = []
    sys.setprofile(lambda frame, event, arg: counted.append(event) if event == "call" else None)
    try:
        refused_at(gate, 1000.0, Rate(3000, 60))
    finally:
        sys.setprofile(None)
    assert len(counted) < 20_000


def test_a_told_limit_that_is_refused_again_and_again_is_not_the_one_in_force() -> None:
    """Waited out once, and refused all the same: then there is less than what was told, and it is looked for."""
    gate = Gate(None)
    refused_at(gate, 0.0, Rate(50, 10))
    refused_at(gate, 5.0, Rate(50, 10))
    starts(gate, 1, begin=15.1)
    refused_at(gate, 17.0, Rate(50, 10))
    assert gate.learned is not None
    rate, told = gate.learned
    assert not told
    assert rate.count / rate.per < 5
