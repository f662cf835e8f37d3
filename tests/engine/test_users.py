"""Several users in one run: each under its own limits, and stopped alone."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from random import Random

import pytest

from sdrs_async import Account, AuthenticationError, Limits, StaticToken, connect
from sdrs_async.limits import Rate, RetryPolicy
from sdrs_async.models import Reply, Target, Verdict
from sdrs_async.simulator import Simulator
from tests.support.engine_runs import DELETED, FREE, Iam, Party, Service, most_in_window, refused, settle_all

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")


def groups(project: str, count: int) -> list[tuple[str, str]]:
    """Targets of one project."""
    return [(project, f"g{number}") for number in range(count)]


def test_a_rate_of_one_user_is_no_rate_of_another() -> None:
    """A user's own rate holds for it; one without is not slowed by it."""
    slow, fast = Service(), Service()
    limits = Limits(None, 8, "5/s", None, None)
    settled = settle_all({"a": Party(slow, groups("a", 50), limits), "b": Party(fast, groups("b", 400))})
    assert most_in_window(slow.times, 1.0 - 1e-9) <= 5
    assert max(fast.times) < 2
    assert settled.verdicts() == {Verdict.DELETED: 450}


def test_users_of_one_endpoint_share_its_rate() -> None:
    """The endpoint's limit counts the requests of all its users together; another endpoint has its own."""
    shared, other = Service(), Service()
    limits = Limits(None, 8, None, "20/s", None)
    parties = {
        "a": Party(shared, groups("a", 60), limits, endpoint="x"),
        "b": Party(shared, groups("b", 60), limits, endpoint="x"),
        "c": Party(other, groups("c", 60), limits, endpoint="y"),
    }
    assert settle_all(parties).verdicts() == {Verdict.DELETED: 180}
    assert 18 <= most_in_window(shared.times, 1.0 - 1e-9) <= 20
    assert max(other.times) < 4


@pytest.mark.parametrize(("scope", "held"), [("user", {"a"}), ("endpoint", {"a", "b"})])
def test_a_429_holds_whom_it_names(scope: str, held: set[str]) -> None:
    """A user's 429 holds that user, an endpoint's all of its users, and nobody at another endpoint."""
    refusals = iter([Reply(Verdict.THROTTLED, 429, scope=scope, retry_after=20.0)])
    services = {"a": Service(lambda target, nth: next(refusals, DELETED)), "b": Service(), "c": Service()}
    limits = Limits("5/s", 1, None, None, None)
    settled = settle_all(
        {
            name: Party(service, groups(name, 30), limits, endpoint="y" if name == "c" else "x")
            for name, service in services.items()
        }
    )
    assert settled.verdicts() == {Verdict.DELETED: 90}
    for name, service in services.items():
        assert bool([at for at in service.times if 0.1 < at < 20]) == (name not in held)


def test_a_hanging_user_leaves_the_fleet_to_the_others() -> None:
    """Projects of one user that never answer fill a quarter of the fleet's cap at most, after their first time-out."""
    hanging, busy = Service(lambda target, nth: None), Service(latency=1.0)
    parties = {
        "a": Party(hanging, [(f"a{number}", f"g{group}") for group in range(5) for number in range(60)], FREE),
        "b": Party(busy, [(f"b{number}", f"g{group}") for group in range(40) for number in range(20)], FREE),
    }
    settled = settle_all(parties, concurrency=32)
    assert settled.verdicts() == {Verdict.UNREACHABLE: 300, Verdict.DELETED: 800}
    late = [at for at in busy.times if at > 35]
    assert busy.most_in_flight["all"] >= 16
    assert len(late) < 800


async def test_a_refused_account_is_named_and_the_others_are_cleaned() -> None:
    """One account of two is refused: the report names it and its reason, exit code 1; both refused: an error."""
    async with Simulator(projects=2, groups=3, seed=1) as good, Simulator(projects=2, groups=3, seed=2) as other:
        accounts = [Account("good", good.url, StaticToken(good.token)), Account("bad", other.url, StaticToken("wrong"))]
        async with connect(accounts) as session:
            report = await session.clean({accounts[0]: good.targets, accounts[1]: other.targets})
        assert (good.remaining, other.remaining) == (0, 12)
        assert list(report.refused_accounts) == ["bad"]
        assert report.exit_code == 1
        async with connect(accounts[1:]) as session:
            with pytest.raises(AuthenticationError, match="bad: "):
                await session.clean(other.targets)


@pytest.mark.parametrize(("scope", "failed"), [("user", {"a"}), ("endpoint", {"a", "b"})])
def test_a_long_hold_fails_what_has_no_time_for_it_and_nothing_else(scope: str, failed: set[str]) -> None:
    """Targets that wait for another try fail at once where the hold is theirs and too long; others go on waiting."""
    busy = Reply(Verdict.TRANSIENT, 503)
    throttled = Reply(Verdict.THROTTLED, 429, scope=scope, retry_after=100.0)
    services = {
        "a": Service(lambda target, nth: throttled if nth == 1 else DELETED, latency=0.5),
        "b": Service(lambda target, nth: busy if nth == 1 else DELETED),
        "c": Service(lambda target, nth: busy if nth == 1 else DELETED),
    }
    settled = settle_all(
        {
            name: Party(service, groups(name, 1), endpoint="y" if name == "c" else "x")
            for name, service in services.items()
        },
        retry=RetryPolicy(total=60, base=50, cap=50),
    )
    by_name = {one.target.project_id: one.verdict for one in settled.outcomes}
    assert {name for name, verdict in by_name.items() if verdict is Verdict.THROTTLED} == failed
    assert {verdict for name, verdict in by_name.items() if name not in failed} == {Verdict.DELETED}


def test_a_limit_that_nobody_names_is_the_users_when_new_projects_are_refused() -> None:
    """60 projects share a hidden 20 per second: what refuses their first requests can be no limit of their own.

    Held one by one they would go on being refused; held as one user, few are.
    """
    admitted: deque[float] = deque()

    def answer(target: Target, nth: int) -> Reply:
        now = asyncio.get_running_loop().time()
        while admitted and admitted[0] <= now - 1.0:
            admitted.popleft()
        if len(admitted) >= 20:
            return Reply(Verdict.THROTTLED, 429, message="busy")
        admitted.append(now)
        return DELETED

    service = Service(answer)
    targets = {f"p{number}": [f"g{group}" for group in range(10)] for number in range(60)}
    settled = settle_all({"a": Party(service, targets, Limits("10/s", 8, None, None))})
    assert settled.verdicts() == {Verdict.DELETED: 600}
    refused = len(service.calls) - 600
    assert refused <= 64 + 20, "those that were on the wire at first, and a few while the rate was found"
    assert settled.seconds <= 1.5 * 600 / 20
    [learned] = settled.engine.fleet.survey(0.0).learned()
    assert (learned.scope, learned.told) == ("user", False)


def test_one_project_whose_first_request_is_refused_holds_only_itself() -> None:
    """Its own limit may have been used up by somebody else."""
    services = {"a": Service(lambda t, n: Reply(Verdict.THROTTLED, 429) if t.project_id == "a0" and n < 4 else DELETED)}
    targets = {f"a{number}": [f"g{group}" for group in range(100)] for number in range(3)}
    settled = settle_all({"a": Party(services["a"], targets, Limits("50/s", 8, None, None))})
    assert {learned.scope for learned in settled.engine.fleet.survey(0.0).learned()} <= {"project"}
    assert max(services["a"].arrived["a1"]) < 2.5


def test_sign_ins_that_end_after_their_account_was_stopped_leave_their_share_to_the_others() -> None:
    """Four are under way when the first is refused: the project of another account has the whole fleet from then on."""
    iam = Iam(lambda project, nth: refused(whole_account=True))
    busy = Service(latency=1.0)
    parties = {
        "a": Party(Service(), {f"a{number}": ["g0"] for number in range(10)}, iam=iam),
        "b": Party(busy, groups("b", 100), Limits(None, 8, None, None)),
    }
    settled = settle_all(parties, concurrency=8)
    assert settled.of("b")[-1].verdict is Verdict.DELETED
    assert settled.seconds <= 1.2 * 100 / 8


def sliding(limits: dict[str, int], told: Reply, per: float = 1.0) -> Callable[[Target, int], Reply]:
    """So many in `per` seconds for each whom `limits` names, under an empty name for all; `told`: the refusal."""
    admitted: dict[str, deque[float]] = defaultdict(deque)

    def answer(target: Target, nth: int) -> Reply:
        now, whose = asyncio.get_running_loop().time(), target.project_id if target.project_id in limits else ""
        recent = admitted[whose]
        while recent and recent[0] <= now - per:
            recent.popleft()
        if len(recent) >= limits[whose]:
            return told
        recent.append(now)
        return DELETED

    return answer


@pytest.mark.parametrize(("count", "per"), [(5, 1.0), (20, 5.0)])
def test_projects_learn_of_each_other_what_no_429_says(count: int, per: float) -> None:
    """Twenty projects under a hidden limit each: the first one, a little ahead of the others, is refused for all."""
    limits = {f"p{number}": count for number in range(20)}
    service = Service(sliding(limits, Reply(Verdict.THROTTLED, 429, message="busy"), per))
    targets = {project: [f"g{group}" for group in range(6 * count)] for project in limits}
    settled = settle_all({"a": Party(service, targets, Limits("10/s", 8, None, None))})
    assert settled.verdicts() == {Verdict.DELETED: 20 * 6 * count}
    assert len(service.calls) - 20 * 6 * count <= 3, "alone each of them is refused once or more"
    assert settled.seconds <= 1.2 * 6 * per


@pytest.mark.parametrize("scope", ["user", "endpoint"])
def test_a_shared_limit_that_is_lower_than_what_is_told_is_found(scope: str) -> None:
    """The gateway says 40 per second and lets 20 through, since others use the rest: no target is lost to that."""
    told = Reply(Verdict.THROTTLED, 429, scope=scope, told=Rate(40))
    service = Service(sliding({"": 20}, told))
    targets = {f"p{number}": [f"g{group}" for group in range(100)] for number in range(12)}
    settled = settle_all({"a": Party(service, targets, Limits(None, 8, None, None))})
    assert settled.verdicts() == {Verdict.DELETED: 1200}
    assert settled.seconds <= 1.3 * 1200 / 20
    assert len(service.calls) - 1200 <= 64 + 30


# ---- one project, several accounts


def test_the_same_project_at_two_endpoints_is_two_projects() -> None:
    """Each account's targets go to its own endpoint, with its own credential, under limits of their own."""
    both = [("p0", f"g{number}") for number in range(30)]
    one, other = Service(), Service()
    limits = Limits("10/s", 8, None, None, None)
    settled = settle_all({"a": Party(one, both, limits), "b": Party(other, both, limits)})
    assert Counter((o.account, o.verdict) for o in settled.outcomes) == {("a", "deleted"): 30, ("b", "deleted"): 30}
    for service in (one, other):
        assert sorted(target for _, target in service.calls) == sorted(Target(*pair) for pair in both)
    # Side by side: together they would have needed twice as long.
    assert settled.seconds < 3.5


@pytest.mark.parametrize("seed", range(5))
def test_two_accounts_at_one_endpoint_share_the_limits_of_a_project(seed: int) -> None:
    """The lower rate and the lower number at a time hold for both together, whoever came first."""
    rng = Random(seed)
    both = Service(delay=lambda: rng.uniform(0, 0.1), latency=0.3)
    slow, quick = Limits("5/s", 2, None, None, None), Limits("10/s", 8, None, None, None)
    parties = {
        "a": Party(both, [("p0", f"a{number}") for number in range(40)], slow, endpoint="x"),
        "b": Party(both, [("p0", f"b{number}") for number in range(40)], quick, endpoint="x"),
    }
    settled = settle_all(dict(sorted(parties.items(), reverse=bool(seed % 2))))
    assert Counter(o.account for o in settled.outcomes) == {"a": 40, "b": 40}
    assert settled.verdicts() == {Verdict.DELETED: 80}
    assert both.most_in_flight["p0"] <= 2
    # What the first one had on the wire before the second came was under its own limit alone.
    assert most_in_window(sorted(both.times)[10:], 1.0 - 1e-5) <= 5


def test_two_accounts_at_one_endpoint_send_each_target_once() -> None:
    """The one that brings it second has it counted as a duplicate; at another endpoint it is another target."""
    pairs = [("p0", f"g{number}") for number in range(20)]
    here, there = Service(), Service()
    settled = settle_all(
        {
            "a": Party(here, pairs, endpoint="x"),
            "b": Party(here, pairs, endpoint="x"),
            "c": Party(there, pairs, endpoint="y"),
        }
    )
    assert settled.engine.intake.duplicates == 20
    assert Counter(target for _, target in here.calls) == Counter(Target(*pair) for pair in pairs)
    assert Counter(target for _, target in there.calls) == Counter(Target(*pair) for pair in pairs)


def test_the_refusal_of_one_account_keeps_no_other_from_their_common_project() -> None:
    """The credential is the account's: the project goes on with the other one's."""
    bad = Service(answer=lambda target, nth: Reply(Verdict.UNAUTHORIZED, 401, retryable=False))
    good = Service()
    settled = settle_all(
        {
            "a": Party(bad, [("p0", f"a{number}") for number in range(10)], endpoint="x"),
            "b": Party(good, [("p0", f"b{number}") for number in range(10)], endpoint="x"),
        }
    )
    assert Counter((o.account, o.verdict) for o in settled.outcomes) == {
        ("a", "unauthorized"): 1, ("a", "skipped"): 9, ("b", "deleted"): 10,
    }  # fmt: skip


def test_a_429_of_a_common_project_holds_both_accounts() -> None:
    """A limit of the project is the project's, whoever sends."""
    throttled = Reply(Verdict.THROTTLED, 429, retry_after=50.0)
    first = Service(answer=lambda target, nth: throttled if nth == 1 and target.server_group_id == "a0" else DELETED)
    second = Service()
    settle_all(
        {
            "a": Party(first, [("p0", f"a{number}") for number in range(5)], endpoint="x"),
            "b": Party(second, [("p0", f"b{number}") for number in range(5)], endpoint="x"),
        }
    )
    assert len([at for at in (*first.times, *second.times) if 0.05 < at - first.times[0] < 49]) == 0


def test_a_429_of_a_common_project_that_is_too_long_fails_both_accounts_targets_at_once() -> None:
    """Those of the account that did not meet it too."""
    throttled = Reply(Verdict.THROTTLED, 429, retry_after=900.0)
    first, second = Service(answer=lambda target, nth: throttled), Service(latency=1.0)
    limits = Limits(None, 1, None, None, None)
    settled = settle_all(
        {
            "a": Party(first, [("p0", f"a{number}") for number in range(5)], limits, endpoint="x"),
            "b": Party(second, [("p0", f"b{number}") for number in range(5)], limits, endpoint="x"),
        }
    )
    assert settled.verdicts() == {Verdict.THROTTLED: 10}
    assert settled.seconds < 2
