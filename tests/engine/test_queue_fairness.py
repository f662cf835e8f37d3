"""Who goes first where projects share a limit: each has its fair share, and what one cannot use the others have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Reply, Target, Verdict
from tests.support.engine_runs import DELETED, Party, Service, fleet, settle, settle_all

Order = list[str]


def noting(order: Order, latency: float = 0.0) -> Service:
    """A service that notes the project of each request."""

    def answer(target: Target, nth: int) -> Reply:
        order.append(target.project_id)
        return DELETED

    return Service(answer, latency=latency)


def last_of(order: Order, project: str) -> int:
    """The place of a project's last request."""
    return len(order) - order[::-1].index(project)


def groups(count: int) -> list[str]:
    """So many groups of one project."""
    return [f"g{number}" for number in range(count)]


@pytest.mark.parametrize(
    "limits",
    [
        Limits(None, 8, "100/s", None, 64),
        Limits(None, 8, None, "100/s", 64),
        Limits(None, None, None, None, 1),
        Limits("60/s", 8, "100/s", "300/s", 8),
    ],
)
def test_ten_small_projects_do_not_wait_for_a_large_one(limits: Limits) -> None:
    """Beside one of 1,500 groups, ten of 50 are done with the 550th request or soon after it."""
    order: Order = []
    targets = {"large": groups(1_500), **{f"small{number}": groups(50) for number in range(10)}}
    settle(noting(order, 0.02), targets, limits)
    assert max(last_of(order, f"small{number}") for number in range(10)) <= 1.1 * 550


def test_a_flat_list_with_the_large_project_first_is_as_fair() -> None:
    """Its order decides nothing, as far as it has been read."""
    order: Order = []
    targets = [("large", group) for group in groups(1_000)] + [("small", group) for group in groups(50)]
    settle(noting(order), targets, Limits(None, 8, "100/s", None))
    assert last_of(order, "small") <= 1.1 * 100


def test_projects_share_alike_whoever_their_users_are() -> None:
    """A hundred projects of one user and one of another, at one endpoint: each has its 101st part."""
    order: Order = []
    many = {f"a{number}": groups(50) for number in range(100)}
    limits = Limits(None, 8, None, "500/s", 64)
    service = noting(order)
    settle_all(
        {
            "a": Party(service, many, limits, endpoint="x"),
            "b": Party(service, {"b": groups(20)}, limits, endpoint="x"),
        }
    )
    assert last_of(order, "b") <= 1.1 * 20 * 101


def test_what_one_project_cannot_use_the_others_have() -> None:
    """A project at 10/s beside one without a rate: the user's 100/s are used up to the last one."""
    order: Order = []
    slow = Party(noting(order), {"slow": groups(50)}, Limits("10/s", 8, None, "100/s"), endpoint="x")
    fast = Party(noting(order), {"fast": groups(900)}, Limits(None, 8, None, "100/s"), endpoint="x")
    settled = settle_all({"slow": slow, "fast": fast})
    assert settled.seconds == pytest.approx(9.5, rel=0.05), "950 at 100/s, the first 100 at once"


def test_a_held_project_lets_the_others_pass() -> None:
    """While one waits for a minute after its 429, the user's whole rate is the others'."""

    def answer(target: Target, nth: int) -> Reply:
        if target == Target("p0", "g0") and nth == 1:
            return Reply(Verdict.THROTTLED, 429, retry_after=60.0)
        return DELETED

    service = Service(answer)
    settled = settle(service, fleet(3, 200), Limits(None, 8, "50/s", None))
    others = max(at for at, target in service.calls if target.project_id != "p0")
    assert others <= 400 / 50 * 1.1
    assert len(settled.outcomes) == 600


def test_a_user_that_is_held_does_not_stand_before_another() -> None:
    """Its projects are due all the time, and it is not: those of the other user at the endpoint go on."""

    def answer(target: Target, nth: int) -> Reply:
        first = target == Target("a0", "g0") and nth == 1
        return Reply(Verdict.THROTTLED, 429, scope="user", retry_after=30.0) if first else DELETED

    held, free = Service(answer), Service()
    limits = Limits(None, 8, None, "50/s")
    parties = {
        "a": Party(held, {f"a{number}": groups(20) for number in range(10)}, limits, endpoint="x"),
        "b": Party(free, {"b": groups(300)}, limits, endpoint="x"),
    }
    settled = settle_all(parties)
    assert max(free.times) <= 300 / 50 * 1.2
    assert settled.verdicts() == {Verdict.DELETED: 500}


def shares(order: Order, upto: int) -> Callable[[str], float]:
    """Whose the first requests were, as a share of those."""
    counts = Counter(project[0] for project in order[:upto])
    return lambda user: counts[user] / upto


def test_weights_divide_what_is_shared() -> None:
    """Projects of weight 3 have three turns for one of the others."""
    order: Order = []
    limits = Limits(None, 8, None, "200/s", 64)
    service = noting(order, 0.01)
    parties = {
        "a": Party(service, {"a": groups(600)}, limits, endpoint="x", weight=3),
        "b": Party(service, {"b": groups(600)}, limits, endpoint="x"),
    }
    settle_all(parties)
    share = shares(order, 600)
    assert share("a") == pytest.approx(0.75, abs=0.03)


def test_a_weight_holds_while_there_is_something_to_share() -> None:
    """When the heavy one has nothing left, the other has all of it: nothing is kept back."""
    order: Order = []
    service = noting(order)
    limits = Limits(None, 8, None, "100/s", 64)
    parties = {
        "a": Party(service, {"a": groups(30)}, limits, endpoint="x", weight=10),
        "b": Party(service, {"b": groups(300)}, limits, endpoint="x"),
    }
    settled = settle_all(parties, retry=RetryPolicy())
    assert settled.seconds == pytest.approx(3.3, rel=0.15)


def once(target: Target, scope: str, seconds: float) -> Callable[[Target, int], Reply]:
    """A service's answers: one 429 of that scope, to the first request of that target."""

    def answer(asked: Target, nth: int) -> Reply:
        if asked == target and nth == 1:
            return Reply(Verdict.THROTTLED, 429, scope=scope, retry_after=seconds)
        return DELETED

    return answer


def test_a_project_that_a_429_took_its_turn_from_has_the_next_one() -> None:
    """The user's hold is over: of its 20 projects the one that was refused goes first, and then no more than others."""
    service = Service(once(Target("p7", "g0"), "user", 30.0))
    settle(service, fleet(20, 10), Limits(None, 8, "10/s", None))
    later = [target.project_id for at, target in service.calls if at > 29]
    assert later[0] == "p7"
    assert later[:40].count("p7") <= 3


def test_the_turn_that_a_429_took_counts_at_the_endpoint() -> None:
    """The endpoint's hold is over: the project that was refused goes before those of another user that wait longer."""
    limits = Limits(None, 1, None, "2/s")
    refused, others = Service(once(Target("a", "g0"), "endpoint", 30.0), latency=0.01), Service()
    parties = {
        "a": Party(refused, {"a": groups(5)}, limits, endpoint="x"),
        "b": Party(others, {f"b{number}": groups(5) for number in range(20)}, limits, endpoint="x"),
    }
    settle_all(parties)
    again = next(at for at in refused.times if at > 29)
    assert not [at for at in others.times if 29 < at < again]


def test_nothing_of_a_held_user_is_sent_whoever_had_the_next_turn() -> None:
    """Twenty projects wait for their turn when the user's 429 comes: each of them waits until it is over."""
    service = Service(once(Target("p0", "g0"), "user", 30.0))
    settled = settle(service, fleet(20, 10), Limits(None, 8, None, None, 4))
    assert not [at for at in service.times if 0.01 < at < 30]
    assert settled.verdicts() == {Verdict.DELETED: 200}


def test_endpoints_take_turns_where_the_fleet_is_the_limit() -> None:
    """One request at a time for two endpoints: neither has to be done before the other one begins."""
    order: Order = []
    service = noting(order, 0.01)
    settle_all({"a": Party(service, {"a": groups(50)}), "b": Party(service, {"b": groups(50)})}, concurrency=1)
    assert shares(order, 50)("a") == pytest.approx(0.5, abs=0.05)
