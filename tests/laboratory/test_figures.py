from __future__ import annotations

import math

import pytest

from sdrs_async.laboratory import figures
from sdrs_async.laboratory.figures import Arrivals
from sdrs_async.laboratory.gateways import Gateway
from sdrs_async.laboratory.policies import Caller, Policy
from sdrs_async.laboratory.results import fullest, trial_of


def every(step: float, until: float, start: float = 0.0) -> list[float]:
    """Times at one distance from each other."""
    return [start + step * number for number in range(int((until - start) / step))]


def test_the_fullest_window_is_measured_by_the_limit_then_in_force() -> None:
    """Four in a second are twice a limit of two; a window that reaches back before a cut may hold what was allowed."""
    assert figures.largest([0, 0.25, 0.5, 0.75, 1.75], Policy(2)) == 2.0
    cut = Policy(4, changes=((10.0, 2),))
    assert figures.largest([9.25, 9.5, 9.75, 10.0], cut) == 1.0
    assert figures.largest([10.25, 10.5, 10.75, 11.125], cut) == 2.0
    assert figures.largest([10.0, 10.0, 10.0, 10.0], Policy(2, changes=((10.0, 4),))) == 1.0


def test_a_bucket_allows_its_capacity_besides() -> None:
    """Its fullest window is measured by capacity and rate together."""
    assert figures.largest([0.0] * 6, Policy(2, window="bucket", capacity=10)) == 0.5


@pytest.mark.parametrize(("step", "expected"), [(0.1, 1.0), (0.125, 0.8), (0.2, 0.5)])
def test_the_share_of_an_even_run(step: float, expected: float) -> None:
    """10 per second, sent evenly: the share is the pace by the limit."""
    assert figures.share([Arrivals(accepted=every(step, 60))], Policy(10), 60.0) == pytest.approx(expected, rel=0.02)


def test_the_share_of_bursts_does_not_depend_on_where_the_run_ends() -> None:
    """Ten at once every 1.25 s are 0.8, whether the run ends before or behind a burst."""
    times = [burst * 1.25 for burst in range(40) for _ in range(10)]
    shares = [figures.share([Arrivals(accepted=times)], Policy(10), until) for until in (48.8, 49.0, 50.0)]
    assert shares == [pytest.approx(0.8)] * 3


def test_a_run_that_falls_silent_loses_what_it_could_have_sent() -> None:
    """Half of the time at full pace is about a half for one that never lacked work, and all for one that was done."""
    half = [Arrivals(accepted=every(0.1, 30))]
    assert figures.share(half, Policy(10), 60.0) == pytest.approx(0.5, abs=0.02)
    assert figures.share(half, Policy(10), None) == pytest.approx(1.0)


def test_the_share_follows_changes_and_the_users_own_rate() -> None:
    """A limit that doubles at half time is 1.5 times as much; nobody has to use more than was configured."""
    policy = Policy(10, changes=((30.0, 20),))
    even = [Arrivals(accepted=every(0.1, 60))]
    assert figures.share(even, policy, 60.0) == pytest.approx(1 / 1.5, rel=0.02)
    assert figures.share(even, policy, 60.0, cap=10) == pytest.approx(1.0, rel=0.02)


def test_nothing_after_the_first_window_has_no_share() -> None:
    """A run that was done within it tells nothing."""
    assert figures.share([Arrivals(accepted=[0.0, 0.5])], Policy(10), None) is None
    assert figures.share([Arrivals(accepted=[0.0, 0.5])], Policy(10), 60.0) == 0.0


def test_a_cut_is_followed_when_its_refusals_end() -> None:
    """The row of refusals after it counts, a probe some seconds later does not, unless it is in the next window."""
    refused = [3.0, 60.0, 60.25, 61.5, 67.0]
    assert figures.followed(refused, 60.0, 120.0, Policy(10)) == 1.5
    assert figures.followed(refused, 60.0, 120.0, Policy(10, 8.0)) == 7.0
    assert figures.followed(refused, 100.0, 120.0, Policy(10)) == 0.0
    assert figures.followed(every(1.0, 200.0), 60.0, 120.0, Policy(10)) == 59.0


def test_a_rise_is_found_with_the_first_window_that_is_nearly_full() -> None:
    """Nine of ten within one second; never, if it goes on as before; by the user's own rate if that is lower."""
    policy = Policy(5, changes=((60.0, 10),))
    before = every(0.25, 70.0)
    assert figures.found([*before, *every(0.1, 80.0, 70.0)], 60.0, policy) == pytest.approx(10.6, abs=0.2)
    assert figures.found(before, 60.0, policy) == math.inf
    assert figures.found(before, 60.0, policy, cap=4) == pytest.approx(0.0)


def test_silence_lasts_from_the_first_refusal_to_the_next_that_is_let_in() -> None:
    """Later refusals do not begin it anew; without one there is none, and one without an end never ends."""
    assert figures.silence(Arrivals(accepted=[0.0, 1.0, 4.0], refused=[1.5, 3.0])) == 2.5
    assert figures.silence(Arrivals(accepted=[0.0])) == 0.0
    assert figures.silence(Arrivals(accepted=[0.0], refused=[1.0])) == math.inf


def test_refusals_are_counted_per_project_and_time() -> None:
    """The project with the most counts; pauses are between refusals of one project, from the given time on."""
    projects = {"a": Arrivals(refused=[1.0, 2.0, 70.0, 85.0]), "b": Arrivals(refused=[3.0, 71.0, 90.0])}
    assert figures.most_refused(projects, 0.0, 60.0) == 2
    assert figures.most_refused(projects, 2.0, 3.0) == 1
    assert figures.shortest_pause(projects, 60.0) == 15.0
    assert figures.shortest_pause(projects, 80.0) == math.inf


def test_a_log_is_turned_into_a_trial() -> None:
    """Requests, refusals, what each user sent, the figures around a change: all from the gateway's log."""
    gateway = Gateway([Policy(8, told=False, changes=((60.0, 4), (120.0, 8)))])
    for at in (*every(0.125, 120.0), *every(0.25, 130.0, 120.0), *every(0.125, 180.0, 130.0)):
        gateway.ask(Caller("p", "u"), at)
    trial = trial_of(gateway, 180.0, until=180.0)
    assert (trial.requests, trial.users) == (1400, {"u": (1400, trial.refused)})
    assert trial.refused == pytest.approx(240, abs=6)
    assert trial.refused_first == 0
    assert (trial.refused_most, trial.refused_changes[0]) == (trial.refused, trial.refused)
    assert trial.share == pytest.approx(1 - 40 / 1200, abs=0.02)
    assert trial.window == 2.0
    assert list(trial.followed) == pytest.approx([59.4], abs=0.2)
    assert list(trial.found) == pytest.approx([10.7], abs=0.3)


def test_the_fullest_window_of_one_user_leaves_the_others_out() -> None:
    """Two users at one endpoint: each is measured by what it sent itself."""
    gateway = Gateway([])
    for user, count in (("a", 3), ("b", 5)):
        for _ in range(count):
            gateway.ask(Caller("p", user), 0.0)
    shared = [Policy(4, scope="api")]
    assert [fullest(gateway, shared, user) for user in ("a", "b", None)] == [0.75, 1.25, 2.0]
