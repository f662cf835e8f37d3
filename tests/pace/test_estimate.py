"""Limits that the server hides: how fast they are found, what that costs, and how they are followed when they change.

Gates against gateways on a clock of their own; the laboratory judges the same with the whole engine.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.engine.lanes import Lane
from sdrs_async.engine.line import Line
from sdrs_async.engine.users import Endpoint, Projects, User
from sdrs_async.limits import Limits, Rate
from sdrs_async.models import Call, Reply, Verdict
from sdrs_async.pace.estimate import Estimate
from sdrs_async.pace.meter import Gate
from sdrs_async.pace.peers import Peers

TRIP = 0.02


@dataclass
class Gateway:
    """At most `count` requests in any `per` seconds, or in each clock-aligned window from `aligned` on.

    `counts`: refused ones count as well; `changes`: at what time the count becomes which; `down`: from when until when
    it refuses everything.
    """

    count: int
    per: float
    aligned: float | None = None
    counts: bool = False
    changes: list[tuple[float, int]] = field(default_factory=list)
    down: tuple[float, float] = (math.inf, math.inf)
    let_in: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    _seen: deque[float] = field(default_factory=deque)

    def admits(self, now: float) -> bool:
        """A request arrives."""
        while self.changes and now >= self.changes[0][0]:
            self.count = self.changes.pop(0)[1]
        age = self.per if self.aligned is None else (now - self.aligned) % self.per + 1e-9
        start = now - age
        while self._seen and self._seen[0] <= start:
            self._seen.popleft()
        fits = len(self._seen) < self.count and not self.down[0] <= now < self.down[1]
        if fits or self.counts:
            self._seen.append(now)
        (self.let_in if fits else self.refused).append(now)
        return fits

    @property
    def times(self) -> list[float]:
        """All arrivals."""
        return sorted(self.let_in + self.refused)

    def share(self, since: float, until: float) -> float:
        """Of what the present limit allows, how much was used."""
        return sum(since <= at < until for at in self.let_in) / (self.count * (until - since) / self.per)


def run(  # noqa: C901 - a loop over events, with all that can happen
    gateways: Sequence[Gateway],
    seconds: float,
    rate: Rate | None,
    *,
    at_once: int = 8,
    peers: Peers | None = None,
    work: Sequence[float] = (),
) -> list[Gate]:
    """Let a gate for each gateway send all it may; the n-th has enough to do until `work[n]`."""
    rng = Random(1)
    gates = [Gate(rate, peers=peers) for _ in gateways]
    out, wake = [0] * len(gates), [-1.0] * len(gates)
    events: list[tuple[float, int, str, int, float]] = []

    def at(when: float, what: str, number: int, sent: float = 0.0) -> None:
        heappush(events, (when, len(events) + int(when * 1e6), what, number, sent))

    def start(number: int, now: float) -> None:
        gate = gates[number]
        while out[number] < at_once and not (work and now >= work[number]):
            due = gate.due()
            if due > now:
                if due < math.inf and not now < wake[number] <= due + 0.0003:
                    wake[number] = due + 0.0003
                    at(wake[number], "wake", number)
                return
            gate.enter(now)
            out[number] += 1
            at(now + TRIP / 2 + rng.uniform(0, 0.001), "arrive", number, now)

    for number in range(len(gates)):
        at(rng.uniform(0, 0.01), "wake", number)
    while events and events[0][0] < seconds:
        now, _, what, number, sent = heappop(events)
        if what == "arrive":
            answer = "accept" if gateways[number].admits(now) else "refuse"
            at(now + TRIP / 2 + rng.uniform(0, 0.001), answer, number, sent)
        elif what != "wake":
            if what == "accept":
                gates[number].accept(now, sent)
            else:
                gates[number].refuse(now, sent, None, None)
            gates[number].leave(now)
            out[number] -= 1
        if what != "arrive":
            start(number, now)
    return gates


KINDS = ("sliding", "aligned", "counting")


def gateway_of(kind: str, rate: int, per: float, then: int | None = None) -> Gateway:
    """One that allows so many per second, from 100 s on `then`, in windows of `per` seconds."""
    changes = [(100.0, int(then * per))] if then is not None else []
    return Gateway(int(rate * per), per, 0.6 * per if kind == "aligned" else None, kind == "counting", changes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per", [1.0, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("configured", [2, 3])
def test_a_hidden_limit_is_found_with_few_refusals(kind: str, per: float, configured: int) -> None:
    """At most three refusals in the first minute, and 0.95 of the limit is used after the first window.

    Later a try for more costs one refusal, and none comes sooner than 10 s after the last.
    """
    gateway = gateway_of(kind, 10, per)
    [gate] = run([gateway], 180, Rate(10 * configured))
    assert gateway.share(per, 180) >= 0.95
    assert sum(at < 60 for at in gateway.refused) <= 3
    later = [at for at in gateway.refused if at >= 60]
    assert later
    assert all(after - before >= 10 for before, after in pairwise(later))
    assert gate.learned is not None
    rate, told = gate.learned
    assert not told
    assert rate.count / rate.per == pytest.approx(10, rel=0.06)


def test_the_first_refusal_brings_no_silence() -> None:
    """After it the next request goes when the server's window has room again, not seconds later."""
    gateway = Gateway(20, 1)
    run([gateway], 20, Rate(60))
    assert gateway.refused[0] < 0.5
    assert max(after - before for before, after in pairwise(gateway.let_in)) < 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per", [1.0, 5.0, 10.0])
def test_a_limit_cut_to_a_third_is_followed_within_3_seconds(kind: str, per: float) -> None:
    """From then on no more is sent than the new limit, and most of that is used."""
    gateway = gateway_of(kind, 12, per, then=4)
    run([gateway], 250, Rate(24))
    sent = [at for at in gateway.times if 103 <= at < 113]
    assert len(sent) <= 1.1 * 4 * 10 + 1
    assert sum(100 <= at < 160 for at in gateway.refused) <= 3
    assert gateway.share(130, 250) >= 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per", [1.0, 5.0])
def test_a_limit_that_triples_is_found_within_30_seconds(kind: str, per: float) -> None:
    """It is found again by trying more every now and then."""
    gateway = gateway_of(kind, 6, per, then=18)
    run([gateway], 250, Rate(24))
    fastest = max(gateway.share(at, at + 5) for at in range(100, 130))
    assert fastest >= 0.9
    assert gateway.share(140, 250) >= 0.93


def test_nothing_is_found_above_what_is_configured() -> None:
    """Where the gateway lifts its limit, the configured one holds."""
    gateway = Gateway(10, 1, changes=[(50.0, 1000)])
    [gate] = run([gateway], 200, Rate(20))
    late = [at for at in gateway.times if at > 150]
    assert len(late) / 50 == pytest.approx(20, rel=0.03)
    assert all(late[n + 20] - late[n] >= 1 for n in range(len(late) - 20))
    assert gate.learned is None, "the server shows none any more"


def test_a_row_of_refusals_is_answered_with_patience() -> None:
    """While the gateway refuses everything, tries are ever further apart, up to 30 s; then it goes on at once."""
    gateway = Gateway(100, 1, down=(20.0, 200.0))
    run([gateway], 260, Rate(20))
    during = [at for at in gateway.refused if 21 <= at < 200]
    assert len(during) <= 14
    assert 25 <= max(after - before for before, after in pairwise(during)) <= 31
    assert any(200 <= at < 231 for at in gateway.let_in)


def test_a_gate_without_a_rate_finds_one() -> None:
    """Bounded by the requests that it may have on the way at a time, of which the first refusal may hit each."""
    gateway = Gateway(20, 1)
    [gate] = run([gateway], 120, None, at_once=4)
    assert gateway.share(1, 120) >= 0.95
    assert sum(at < 60 for at in gateway.refused) <= 4 + 2
    assert gate.learned is not None


@pytest.mark.parametrize("per", [1.0, 5.0])
def test_many_projects_learn_from_the_first(per: float) -> None:
    """Of 30 projects under like limits few are refused after the first moment, and all use theirs."""
    gateways = [Gateway(int(10 * per), per) for _ in range(30)]
    gates = run(gateways, 150, Rate(20), peers=Peers())
    refused = sum(len(gateway.refused) for gateway in gateways)
    assert refused <= 0.001 * sum(len(gateway.times) for gateway in gateways)
    assert sum(any(at > per for at in gateway.refused) for gateway in gateways) == 1, "one of them tries for all"
    assert sum(gateway.share(per, 150) for gateway in gateways) / 30 >= 0.95
    assert len({gate.learned for gate in gates}) == 1


def test_one_of_the_followers_takes_over_when_the_first_has_ended() -> None:
    """Without it nobody would try for more, and a limit that triples would not be found."""
    gateways = [Gateway(10, 1, changes=[(50.0, 30)]) for _ in range(5)]
    gates = run(gateways, 150, Rate(40), peers=Peers(), work=[150] * 5)
    leader = next(number for number, gate in enumerate(gates) if gate._learning is not None and gate._learning.estimate)
    gateways = [Gateway(10, 1, changes=[(50.0, 30)]) for _ in range(5)]
    run(gateways, 150, Rate(40), peers=Peers(), work=[20 if number == leader else 150 for number in range(5)])
    others = [gateway for number, gateway in enumerate(gateways) if number != leader]
    assert all(gateway.share(100, 150) >= 0.9 for gateway in others)


def test_a_project_of_its_own_kind_does_not_slow_the_others() -> None:
    """One whose limit is a third of the others' gets an estimate of its own."""
    gateways = [Gateway(30, 1), Gateway(30, 1), Gateway(10, 1, changes=[(0.5, 10)]), Gateway(30, 1)]
    gateways[2] = Gateway(30, 1, changes=[(40.0, 10)])
    run(gateways, 150, Rate(60), peers=Peers())
    assert all(gateways[number].share(60, 150) >= 0.95 for number in (0, 1, 3))
    assert gateways[2].share(70, 150) >= 0.9


def risen(before: float, after: float) -> Peers:
    """Peers whose first one rose at 50 s."""
    peers, estimate = Peers(), proven(100)
    peers.refused(estimate, 20.0, 20.0)
    for now, level in ((30.0, before), (50.0, after)):
        estimate.level = estimate._proven = level
        peers.accepted(now, changed=True)
    return peers


@pytest.mark.parametrize(
    ("before", "after", "doubts", "shared"),
    [
        pytest.param(4, 10, [("a", 51, 50.5), ("b", 51, 50.5), ("c", 52, 51)], True, id="three of them"),
        pytest.param(4, 10, [("a", 51, 50.5), ("a", 51, 50.6), ("b", 52, 51)], False, id="one of them twice"),
        pytest.param(4, 10, [("a", 51, 49.9), ("b", 51, 50.5), ("c", 52, 51)], False, id="one from before"),
        pytest.param(4, 10, [("a", 51, 50.5), ("b", 51, 50.5), ("c", 56, 55.9)], False, id="one much later"),
        pytest.param(8, 10, [("a", 51, 50.5), ("b", 51, 50.5), ("c", 52, 51)], False, id="a slight rise"),
    ],
)
def test_what_one_may_and_its_followers_may_not_is_a_limit_they_share(
    before: float, after: float, doubts: list[tuple[str, float, float]], shared: bool
) -> None:
    """Three that were refused soon after they followed a great rise: then it is no limit of each."""
    peers = risen(before, after)
    for follower, now, sent_at in doubts:
        peers.doubt(follower, now, sent_at)
    assert peers.shared == shared


def test_doubts_are_about_the_last_rise() -> None:
    """Two from before it and one after make no three; and where the rate has fallen again nobody is in doubt."""
    peers = risen(4, 10)
    peers.doubt("a", 51, 50.5)
    peers.doubt("b", 51, 50.5)
    assert peers.estimate is not None
    peers.estimate.level = peers.estimate._proven = 20.0
    peers.accepted(52.0, changed=True)
    peers.doubt("c", 53, 52.5)
    assert not peers.shared
    peers.estimate.level = peers.estimate._proven = 5.0
    peers.accepted(54.0, changed=True)
    for follower in "abc":
        peers.doubt(follower, 55, 54.5)
    assert not peers.shared


def test_a_window_that_is_being_measured_claims_nothing() -> None:
    """Its level is what is sent at once to see what fits, no rise that the others could be refused for."""
    peers = risen(4, 4)
    assert peers.estimate is not None
    peers.estimate.level, peers.estimate._proven = 10.0, 0.0
    peers.accepted(60.0, changed=True)
    for follower in "abc":
        peers.doubt(follower, 61, 60.5)
    assert not peers.shared


def test_only_who_follows_another_is_told_apart() -> None:
    """A gate that has found its own rate, and one that has nobody to follow, follow none."""
    alone, peers = Gate(Rate(10)), Peers()
    leader, follower = (Gate(Rate(10), peers=peers) for _ in range(2))
    for number in range(8):
        leader.enter(number / 10)
        leader.accept(number / 10 + TRIP, number / 10)
        leader.leave(number / 10 + TRIP)
    leader.enter(0.8)
    leader.refuse(0.82, 0.8, None, None)
    leader.leave(0.82)
    assert [gate.follows for gate in (alone, leader, follower)] == [False, False, True]


@pytest.mark.parametrize("follow", [True, False])
def test_only_followers_tell_that_a_limit_is_their_users(follow: bool) -> None:
    """Three that are refused what they found by themselves have each a limit of their own."""

    async def send(call: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
        raise AssertionError("nothing is sent")

    user = User("user", send, Limits("10/s", None, None, None, 64), Endpoint("endpoint", None, 64, Line(64)))
    peers = risen(4, 10)
    projects = Projects(Rate(10), None, peers)
    for name in "abc":
        lane = Lane(name, user)
        lane.record.note(Reply(Verdict.DELETED, 204))
        lane.gate = Gate(Rate(10), peers=peers if follow else None)
        of_user = projects.turn_away(lane, 51.0, 50.5)
    assert of_user == follow


@pytest.mark.parametrize(("recent", "longer"), [(0, True), (1, False)])
def test_only_a_silence_as_long_as_the_window_shows_a_longer_one(recent: int, longer: bool) -> None:
    """Where something was let through less than a window ago, that is full and no longer than was thought."""
    estimate = proven(100)
    estimate.refuse(30.0, 100)
    estimate.accept(30.1)
    estimate.refuse(70.0, 90)
    estimate.refuse(70.1, 90)
    estimate.refuse(70.8, 20)
    estimate.refuse(71.2, recent)
    assert (estimate.per == 10.0) == longer


def test_a_window_that_turns_out_longer_holds_all_that_filled_it() -> None:
    """12 in aligned 5 s, believed to be 2 s long: what was measured there is not 4 because 8 fit into two of these."""
    gateway = Gateway(60, 5.0, aligned=0.63, changes=[(64.8, 12)])
    run([gateway], 300, Rate(18))
    assert gateway.share(95, 300) >= 0.93


def test_a_trial_without_an_answer_does_not_stop_the_gate() -> None:
    """When it is given up another one goes."""
    gate = Gate(Rate(10))
    for _ in range(3):
        gate.enter(0.0)
    gate.accept(0.02, 0.0)
    gate.leave(0.02)
    gate.accept(0.02, 0.0)
    gate.leave(0.02)
    until = gate.refuse(0.02, 0.0, None, None)
    gate.leave(0.02)
    gate.enter(until)
    assert gate.due() == math.inf, "it goes alone"
    gate.leave(until + 30)
    assert gate.due() <= until + 30


def test_a_late_answer_is_not_taken_for_the_trials() -> None:
    """A request from before the refusal that was let through says nothing of whether there is room again."""
    gate = Gate(Rate(10))
    gate.enter(0.0)
    gate.enter(0.0)
    until = gate.refuse(0.02, 0.0, None, None)
    gate.leave(0.02)
    gate.accept(0.03, 0.0)
    gate.leave(0.03)
    gate.enter(until)
    assert gate.due() == math.inf


def test_a_limit_that_was_kept_for_long_falls_from_what_is_configured() -> None:
    """Refused after 100 s of keeping 10/s: the decrease is from 10, however few were sent last; then a deep one."""
    estimate = Estimate(100.0, 0.0, 37, Rate(10))
    estimate.refuse(100.0, 1)
    assert estimate.level == pytest.approx(9.7)
    estimate.refuse(100.2, 1)
    assert estimate.level == 2, "as many whole ones as 0.28 of it are"


def test_an_estimate_says_how_many_fit_and_tries_how_long() -> None:
    """40 let through in 0.8 s: after 1 s one goes alone, after 2 s that is let through, so it is 40 per 2 s."""
    estimate = Estimate(0.8, 0.0, 40, Rate(100))
    estimate.refuse(0.8, 40)
    assert (estimate.rate, estimate.trial) == (Rate(40, 1.0), True)
    estimate.refuse(1.02, 40)
    assert estimate.rate == Rate(40, 1.5)
    estimate.refuse(1.5, 40)
    assert estimate.rate == Rate(40, 2.0)
    assert estimate.accept(2.02)
    assert (estimate.known, estimate.trial) == (Rate(40, 2.0), False)


def proven(level: int) -> Estimate:
    """So many per second, found at 0.5 s, held until 5 s, and from 20 s on more is tried."""
    estimate = Estimate(0.5, 0.0, level, Rate(200))
    estimate.refuse(0.5, level)
    for now in (1.0, 5.0, 20.0):
        estimate.accept(now)
    assert (estimate.known, estimate.growing) == (Rate(level, 1.0), True)
    return estimate


def test_a_slight_rise_is_not_believed_until_it_was_kept_to_at_the_next_try() -> None:
    """22 in a second may be 20 and a boundary: that is waited for, and 22 are tried 16 s later, for two windows."""
    estimate = proven(20)
    estimate.level = 23.0
    estimate.refuse(24.0, 22)
    assert estimate.rate == Rate(20, 1.0)
    assert estimate.wait == pytest.approx(24.15)
    estimate.accept(24.2)
    assert not estimate.accept(39.9)
    assert estimate.accept(40.0)
    assert (estimate.rate, estimate.known) == (Rate(22, 1.0), Rate(20, 1.0))
    assert not estimate.accept(41.9)
    assert estimate.accept(42.0)
    assert estimate.known == Rate(22, 1.0)


def test_a_great_rise_is_believed_at_once() -> None:
    """60 where 20 were proven are no boundary's doing."""
    estimate = proven(20)
    estimate.level = 70.0
    estimate.refuse(30.0, 60)
    assert estimate.rate == Rate(60, 1.0)


def test_nothing_is_measured_below_what_was_proven() -> None:
    """A bucket is no window: 11 that it lets through after a great rise do not make less of 20 that have held."""
    estimate = proven(20)
    estimate.level = 70.0
    estimate.refuse(30.0, 60)
    estimate.refuse(30.1, 60)
    estimate.accept(30.5)
    for _ in range(10):
        estimate.accept(30.6)
    estimate.refuse(30.7, 40)
    assert estimate.rate == Rate(20, 1.0)


def test_a_short_window_is_filled_again_at_once_after_a_cut() -> None:
    """27 were a guess: at the pace of before 33 are let through, and nobody waits for the next try with these."""
    estimate = proven(100)
    estimate.refuse(30.0, 100)
    estimate.accept(30.1)
    estimate.refuse(70.0, 0)
    estimate.refuse(70.1, 0)
    assert estimate.level == 27, "of 97"
    estimate.accept(71.0)
    assert estimate.level == pytest.approx(0.97 * 97)
    assert estimate.followed == Rate(27, 1.0), "the others are not sent ahead with it"
    for number in range(1, 33):
        estimate.accept(71.0 + number / 100)
    estimate.refuse(71.33, 33)
    assert estimate.rate == Rate(33, 1.0)


def test_a_long_window_is_filled_again_once_the_cut_is_behind() -> None:
    """A refusal 16 s after those of the cut shows the new limit: it takes no slow growth up to it."""
    gateway = gateway_of("sliding", 12, 10.0, then=4)
    run([gateway], 160, Rate(24))
    after = [at - 100 for at in gateway.refused if at >= 100]
    assert len(after) == 3
    assert 16 <= after[2] - after[1] < 20
    assert gateway.share(135, 160) >= 0.95


def test_what_is_cut_again_soon_is_not_filled_again() -> None:
    """Cuts that come one after the other are none: the window is another one than was believed."""
    estimate = proven(100)
    estimate.refuse(30.0, 100)
    estimate.accept(30.1)
    for now in (70.0, 90.0):
        estimate.refuse(now, 0)
        estimate.refuse(now + 0.1, 1)
        estimate.accept(now + 1)
        assert (estimate.level > 50) == (now == 70.0)
        for second in (2.0, 4.0, 8.0):
            estimate.accept(now + second)


def test_a_silence_longer_than_the_window_shows_a_longer_one() -> None:
    """120 in aligned 10 s, first refused 11 s after the start: the limit seems to have fallen, in a short window."""
    gateway = Gateway(120, 10.0, aligned=4.954)
    run([gateway], 120, Rate(20))
    assert sum(at < 60 for at in gateway.refused) <= 6
    assert gateway.share(40, 120) >= 0.95


@given(
    ceiling=st.sampled_from([None, Rate(1, 1.0), Rate(10, 1.0), Rate(200, 300.0)]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["accept", "accept", "accept", "refuse", "late"]), st.integers(1, 40), st.floats(0, 8)
        ),
        max_size=25,
    ),
)
def test_whatever_is_answered_there_is_a_rate_to_keep_to(
    ceiling: Rate | None, steps: list[tuple[str, int, float]]
) -> None:
    """At least one request in a time that is no longer than it takes, and never more than is configured."""
    gate, now = Gate(ceiling, peers=Peers()), 0.0
    for what, times, pause in steps:
        for _ in range(times):
            now = max(now + pause / times, gate.due())
            gate.enter(now)
            if what == "accept":
                gate.accept(now + TRIP, now)
            else:
                gate.refuse(now + TRIP, now if what == "refuse" else now - 30, None, None)
            gate.leave(now + TRIP)
            now += TRIP
        assert gate.due() < math.inf
        if gate.learned is not None:
            rate, told = gate.learned
            assert not told
            assert rate.count >= 1
            assert ceiling is None or rate.count / rate.per <= ceiling.count / ceiling.per + 1e-9


def test_in_the_minute_after_a_change_few_are_risked() -> None:
    """Three refusals tell of a cut and of what is left; the next try waits until a minute after it."""
    gateway = gateway_of("sliding", 12, 1.0, then=4)
    run([gateway], 170, Rate(24))
    after = [at - 100 for at in gateway.refused if at >= 100]
    assert len([at for at in after if at < 60]) == 3
    assert any(60 <= at < 70 for at in after)


def test_two_windows_that_a_burst_has_filled_are_not_one() -> None:
    """119 that passed at once where 96 were believed are two times 60, not 96 and then 23."""
    gateway = Gateway(60, 1.0, aligned=0.377)
    run([gateway], 60, Rate(100))
    assert gateway.share(10, 60) >= 0.95
