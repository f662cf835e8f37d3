"""The laboratory's network, its trials of the real engine, and forecasts."""

from __future__ import annotations

import asyncio
import math
from random import Random

import pytest

from sdrs_async.laboratory.forecast import Forecast, forecast
from sdrs_async.laboratory.gateways import Gateway
from sdrs_async.laboratory.policies import Caller, Policy, parse_gateway
from sdrs_async.laboratory.results import Trial
from sdrs_async.laboratory.trial import ENDLESS, Workload, reply_of, run_trial
from sdrs_async.laboratory.virtual_time import run_virtual
from sdrs_async.laboratory.world import Answer, Failure, Network, World
from sdrs_async.limits import Limits, Rate
from sdrs_async.models import Verdict

FREE = Limits(None, None, None, None, None)
JITTER = Network(jitter=0.1)
P = Caller("p")


def asked(network: Network, policies: list[Policy], times: int, timeout: float = 30.0) -> list[tuple[float, Answer]]:
    """Answers to requests that are sent one after the other, and how long each took."""

    async def main() -> list[tuple[float, Answer]]:
        loop = asyncio.get_running_loop()
        world = World(Gateway(policies), network, Random(1))
        seen = []
        for _ in range(times):
            started = loop.time()
            answer = await world.ask(P, timeout)
            seen.append((loop.time() - started, answer))
        return seen

    return run_virtual(main())


# ---- the network


def test_a_refusal_comes_back_without_the_services_work() -> None:
    """There, work and back make a round trip; the gateway refuses before the work is done."""
    policy = Policy(1)
    (first, answer), (second, refusal) = asked(Network(0.1, 0.2, 0.3), [policy], 2)
    assert (answer, refusal) == (None, policy)
    assert first == pytest.approx(0.6, abs=1e-4)
    assert second == pytest.approx(0.4, abs=1e-4)


def test_jitter_lengthens_a_round_trip_by_up_to_so_much() -> None:
    """Evenly distributed between nothing and all of it; the mean is what a network says of itself."""
    took = [seconds for seconds, _ in asked(JITTER, [], 2000)]
    assert 0.02 <= min(took) < 0.022
    assert 0.118 < max(took) < 0.1201
    assert sum(took) / len(took) == pytest.approx(JITTER.round_trip, rel=0.03)


def test_only_new_connections_are_set_up() -> None:
    """The first request pays for it, those that follow on the same connection do not."""
    took = [seconds for seconds, _ in asked(Network(setup=1.0), [], 3)]
    assert 0.5 < took[0] <= 1.0201
    assert took[1:] == [pytest.approx(0.02, abs=1e-4)] * 2


def test_requests_at_the_same_time_need_connections_of_their_own() -> None:
    """Of two that go together one takes the connection that is open, the other sets up a second one."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        world = World(Gateway([]), Network(setup=1.0), Random(1))
        await world.ask(P)
        started, ended = loop.time(), []
        both = [world.ask(P), world.ask(P)]
        for answer in both:
            answer.add_done_callback(lambda _: ended.append(loop.time() - started))
        await asyncio.wait(both)
        return ended

    kept, new = run_virtual(main())
    assert kept < 0.1
    assert new > 0.5


@pytest.mark.parametrize(
    ("network", "seconds", "failure"),
    [
        (Network(lost=1.0), 0.02, Failure.CLOSED),
        (Network(hung=1.0), 5.0, Failure.TIMED_OUT),
        (Network(work=9.0), 5.0, Failure.TIMED_OUT),
    ],
)
def test_an_answer_may_never_come(network: Network, seconds: float, failure: Failure) -> None:
    """A closed connection is known at once, silence and slowness only when the time is over."""
    [(took, answer)] = asked(network, [], 1, timeout=5.0)
    assert answer is failure
    assert took == pytest.approx(seconds, abs=1e-4)


def test_a_lost_answer_was_counted() -> None:
    """The gateway had let the request in: it is the way back that failed."""
    assert [answer for _, answer in asked(Network(lost=1.0), [Policy(3, 60.0)], 3)] == [Failure.CLOSED] * 3
    lost_and_full = asked(Network(lost=0.5), [Policy(3, 60.0)], 200)
    assert {answer for _, answer in lost_and_full[3:]} == {Failure.CLOSED, Policy(3, 60.0)}


def test_a_service_that_works_on_two_at_a_time_lets_the_others_queue() -> None:
    """Six at once, two workers of a second each: answers come in three pairs."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        world = World(Gateway([]), Network(0.0, 1.0, 0.0, at_once=2), Random(1))
        ended: list[float] = []
        answers = [world.ask(P) for _ in range(6)]
        for answer in answers:
            answer.add_done_callback(lambda _: ended.append(loop.time()))
        await asyncio.wait(answers)
        return ended

    assert run_virtual(main()) == pytest.approx([1, 1, 2, 2, 3, 3], abs=1e-3)


# ---- replies


def test_answers_are_read_as_the_client_reads_them() -> None:
    """A 204, a 429 with the scope and limit that its text names, a connection that broke, a time that ran out."""
    told = reply_of(Policy(200, 300.0, "user"), 0.0, 0.1)
    assert (told.verdict, told.status_code, told.scope, told.told) == (Verdict.THROTTLED, 429, "user", Rate(200, 300.0))
    hidden = reply_of(Policy(200, told=False), 0.0, 0.1)
    assert (hidden.verdict, hidden.scope, hidden.told) == (Verdict.THROTTLED, "project", None)
    assert reply_of(None, 0.0, 0.1).verdict is Verdict.DELETED
    closed, late = (reply_of(failure, 0.0, 0.1) for failure in (Failure.CLOSED, Failure.TIMED_OUT))
    assert (closed.lost, closed.timed_out, late.lost, late.timed_out) == (True, False, True, True)


# ---- trials


def endless(limits: Limits, policy: Policy, seconds: float, network: Network | None = None, seed: int = 1) -> Trial:
    """A trial of one project that never runs out of work."""
    work = Workload(limits, (1, ENDLESS))
    return run_trial([work], [policy], seconds=seconds, network=network, seed=seed, read_ahead=500)


def test_a_trial_is_the_same_for_the_same_seed() -> None:
    """All that is random is drawn from one source: equal seeds give equal figures, others give others."""
    network = Network(jitter=0.1, lost=0.05)
    first, again, other = (endless(Limits("20/s"), Policy(20), 20.0, network, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    backed_off = [run_trial([Workload(FREE, (1, 50))], [], network=Network(lost=0.3)).seconds for _ in range(2)]
    assert backed_off[0] == backed_off[1] > 0.1


def test_a_known_limit_is_kept() -> None:
    """The engine knows the limit: no 429, no window above it, and nearly all of it is used."""
    trial = endless(Limits("20/s"), Policy(20), 30.0)
    assert (trial.refused, trial.silence, trial.pause) == (0, 0.0, math.inf)
    assert trial.window <= 1.0
    assert trial.configured <= 1.0
    assert trial.share is not None
    assert 0.95 < trial.share <= 1.0
    assert trial.latency == pytest.approx(0.02, abs=1e-4)


def test_the_gateways_count_and_the_engines_outcomes_agree() -> None:
    """Each target is let in once; what was sent besides was refused."""
    work = Workload(Limits("20/s", 8), {"a": 60, "b": 15})
    trial = run_trial([work], [Policy(10, told=False)])
    assert trial.verdicts == {"deleted": 75}
    assert trial.settled == {("user", "a"): 60, ("user", "b"): 15}
    assert trial.refused > 0
    assert trial.requests == 75 + trial.refused
    assert trial.users == {"user": (trial.requests, trial.refused)}
    first, second = trial.finished["user", "b"], trial.finished["user", "a"]
    assert first < second == pytest.approx(trial.seconds, abs=0.1)


def test_lost_answers_are_sent_again() -> None:
    """The gateway lets in more than there are targets, by those whose answers were lost."""
    trial = run_trial([Workload(FREE, (2, 100))], [Policy(1000)], network=Network(lost=0.2))
    assert sum(trial.verdicts.values()) == 200
    assert trial.requests > 215


def test_an_endless_trial_stops_when_its_time_is_over() -> None:
    """After these virtual seconds, or so many requests, whatever comes first; what was read stays unsettled."""
    timed = endless(Limits("10/s"), Policy(10), 5.0)
    assert timed.seconds == pytest.approx(5.0, abs=0.01)
    assert timed.verdicts["unsettled"] > 0
    counted = run_trial([Workload(Limits("10/s"), (1, ENDLESS))], [Policy(10)], seconds=60.0, most=100)
    assert 100 <= counted.requests < 130


def test_groups_are_made_as_they_are_read() -> None:
    """A project of a billion groups costs no more than what is sent of it."""
    trial = run_trial([Workload(Limits("10/s"), {"p": 10**9})], [Policy(10)], seconds=2.0, read_ahead=100)
    assert 0 < trial.settled["user", "p"] < 30


def test_the_same_project_at_two_endpoints_is_two_projects() -> None:
    """A cloud and its clone: each endpoint counts its own, and each account's end is its own."""
    work = [
        Workload(Limits(None, None), {"p": groups}, name, f"https://{name}") for name, groups in (("a", 30), ("b", 10))
    ]
    trial = run_trial(work, [Policy(10, told=False)])
    assert trial.settled == {("a", "p"): 30, ("b", "p"): 10}
    found = forecast(work, 0.02, [Policy(10)])
    assert [one.groups for one in found.accounts] == [30, 10]
    first, second = found.accounts
    assert (first.seconds > 2, second.seconds < 1) == (True, True)


def test_a_hidden_limit_that_projects_share_is_found_as_their_users() -> None:
    """Each gets 5/s until one tries more: it may, the others that follow may not, so it is no limit of each."""
    shared = Policy(100, scope="user", told=False)
    trial = run_trial([Workload(Limits("10/s", None, None, None, 64), (20, ENDLESS))], [shared], seconds=60.0)
    assert [(one.scope, one.rate) for one in trial.learned] == [("user", Rate(100, 1.0))]
    assert trial.refused <= 12


def test_a_limit_of_each_project_that_rises_is_not_taken_for_their_users() -> None:
    """One finds it, and the others that follow are let in."""
    policy = Policy(4, told=False, changes=((20.0, 12),))
    trial = run_trial([Workload(Limits("20/s", None, None, None, 64), (8, ENDLESS))], [policy], seconds=60.0)
    assert [(one.scope, one.rate) for one in trial.learned] == [("project", Rate(12, 1.0))]


def test_a_cut_on_long_aligned_windows_costs_three_refusals() -> None:
    """What was let through across a boundary has shown that windows are aligned: nobody asks again in a full one."""
    policy = Policy(600, 10.0, window="fixed", told=False, changes=((60.0, 200),))
    trial = run_trial([Workload(Limits("100/s", None, None, None, 64), (1, ENDLESS))], [policy], seconds=120.0)
    assert trial.refused_changes == (3,)
    assert trial.followed[0] <= 3


def test_a_limit_that_changes_is_measured_around_the_change() -> None:
    """One figure for each cut and each rise, and what was refused behind each of them."""
    policy = Policy(20, told=False, changes=((30.0, 10), (50.0, 20)))
    trial = endless(Limits("40/s"), policy, 60.0)
    assert (len(trial.refused_changes), len(trial.followed), len(trial.found)) == (2, 1, 1)
    assert trial.refused_first > 0
    assert trial.silence > 0


def test_accounts_of_one_endpoint_share_its_limit() -> None:
    """Two users that are each below the limit: together they are above it, at endpoints of their own they are not."""
    policy = Policy(15, scope="api", told=False)

    def trial(*endpoints: str) -> Trial:
        return run_trial([Workload(Limits("10/s"), (1, 40), name=one, endpoint=one) for one in endpoints], [policy])

    shared = [Workload(Limits("10/s"), (1, 40), name=name, endpoint="e") for name in ("a", "b")]
    assert run_trial(shared, [policy]).refused > 0
    assert trial("a", "b").refused == 0


# ---- forecasts


def test_a_known_case_takes_as_long_as_its_floor() -> None:
    """50 groups at 10 per second: four seconds, and the last spread and round trip; nothing is refused."""
    seen = forecast([Workload(Limits("10/s"), {"p": 50})], 0.02, [parse_gateway("project=10/s")])
    assert (seen.requests, seen.refused, seen.failed, seen.extrapolated) == (50, 0, 0, False)
    assert 4.02 <= seen.seconds < 5.1
    assert [(one.name, one.groups, one.requests) for one in seen.accounts] == [("user", 50, 50)]


def test_a_forecast_without_a_gateway_is_the_run_at_its_own_pace() -> None:
    """Nobody refuses anything; the configured rates alone decide."""
    seen = forecast([Workload(Limits("10/s"), (3, 30))], 0.05, [])
    assert (seen.requests, seen.refused) == (90, 0)
    assert 2.05 <= seen.seconds < 3.2


def test_a_forecast_tells_what_would_be_learned() -> None:
    """A user's limit that the configuration does not know: its first 429 names it, and the run goes on at it."""
    seen = forecast([Workload(Limits("20/s"), (10, 20), name="a")], 0.02, [parse_gateway("user=40/s")])
    assert seen.refused > 0
    assert [(one.scope, one.account, one.rate, one.told) for one in seen.learned] == [("user", "a", Rate(40), True)]


def test_each_account_ends_in_its_own_time() -> None:
    """The forecast is as long as its slowest account, and its numbers are those of all together."""
    works = [Workload(Limits("10/s"), (1, 20), name="a"), Workload(Limits("10/s"), (1, 60), name="b")]
    seen = forecast(works, 0.02, [parse_gateway("project=10/s")])
    a, b = seen.accounts
    assert (a.name, b.name, a.seconds < b.seconds == seen.seconds) == ("a", "b", True)
    assert seen.requests == a.requests + b.requests == 80


def test_a_run_that_is_too_large_is_extrapolated() -> None:
    """Its beginning tells the rest: the same work, simulated to its end or not, is forecast alike."""

    def seen(most: int) -> Forecast:
        return forecast([Workload(Limits("20/s"), (4, 250))], 0.02, [parse_gateway("project=20/s")], most=most)

    whole, part = seen(10**6), seen(300)
    assert (whole.extrapolated, part.extrapolated) == (False, True)
    assert part.seconds == pytest.approx(whole.seconds, rel=0.1)
    assert part.requests == pytest.approx(whole.requests, rel=0.02)


def test_a_limit_that_is_shared_bounds_an_extrapolated_run() -> None:
    """No project has a rate of its own: the pace of all together goes on, and refusals with it."""
    seen = forecast([Workload(Limits(None, 8, "20/s"), (4, 250))], 0.02, [parse_gateway("user=20/s")], most=300)
    assert seen.seconds == pytest.approx(50, rel=0.1)
    fixed = Workload(Limits("40/s"), (4, 1000))
    part = forecast([fixed], 0.02, [parse_gateway("project=20/s told=no")], most=300)
    trial = run_trial([fixed], [parse_gateway("project=20/s told=no")], network=Network(), most=300)
    assert part.refused == pytest.approx(trial.refused * 4000 / sum(trial.settled.values()), abs=1)


def test_the_largest_project_bounds_an_extrapolated_run() -> None:
    """What one project has left goes at its own rate, however fast the others were until then."""
    seen = forecast([Workload(Limits("10/s"), {"big": 5000, "a": 50, "b": 50})], 0.02, [], most=200)
    assert seen.seconds == pytest.approx(500, rel=0.05)


def test_a_group_whose_time_runs_out_is_forecast_as_failed() -> None:
    """One request per hour: of three groups the second is refused and cannot wait so long, nor can the third."""
    seen = forecast([Workload(Limits("10/s"), {"p": 3})], 0.02, [parse_gateway("project=1/h")])
    assert (seen.failed, seen.refused) == (2, 1)
    assert seen.seconds < 600


def test_a_forecast_can_be_made_beside_a_running_loop() -> None:
    """In a thread of its own, since its loop is another one."""

    async def main() -> Forecast:
        return await asyncio.to_thread(forecast, [Workload(Limits("10/s"), {"p": 5})], 0.02, [])

    assert asyncio.run(main()).requests == 5


def test_nothing_to_do_takes_no_time() -> None:
    """No account, or one without a group."""
    assert forecast([], 0.02, []) == Forecast(0.0, 0, 0, 0, (), ())
    assert forecast([Workload(FREE, {})], 0.02, []).seconds == 0.0
