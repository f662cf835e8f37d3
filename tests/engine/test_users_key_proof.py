"""A key that all projects share: proved by one read, dropped at its first refusal, since a few of these lock it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest

from sdrs_async import AkSk, AuthenticationError, Limits, Selection
from sdrs_async.accounts.account import Account
from sdrs_async.engine.engine import Engine
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Listing, Outcome, Reply, Target, Verdict
from sdrs_async.session import connect
from sdrs_async.simulator import Fault, Simulator
from tests.support.engine_runs import DELETED, FREE, Party, Service, Settled, fleet, page, settle_all

WRONG = Reply(Verdict.UNAUTHORIZED, 401, "APIGW.0301", "verify ak sk signature fail", retryable=False)
BUSY = Reply(Verdict.TRANSIENT, 503, "APIGW.0613", "busy")
THROTTLED = Reply(Verdict.THROTTLED, 429, "APIGW.0308", "throttled", retry_after=5.0)
LOCKS = 5  # refusals that a key survives


def run(service: Service, targets: object = None, retry: RetryPolicy | None = None, **more: Party) -> Settled:
    """A run with one key over ten projects of twenty groups, beside others."""
    parties = {"keyed": Party(service, targets or fleet(10, 20), one_key=True), **more}  # type: ignore[arg-type]
    return settle_all(parties, retry=retry)


def of_keyed(settled: Settled, service: Service) -> list[Outcome]:
    """The outcomes of the projects with numbers."""
    return [outcome for outcome in settled.outcomes if outcome.target.project_id.startswith("p")]


def test_nothing_goes_out_beside_the_read_that_proves_the_key() -> None:
    """One read of a page of one group goes first; all else starts after its answer."""
    asked: list[Listing] = []

    def lists(listing: Listing, nth: int) -> Reply:
        asked.append(listing)
        return page()

    service = Service(lists=lists, latency=2.0)
    settled = run(service)
    assert [(one.path, one.query) for one in asked] == [("/v1/p0/server-groups", "limit=1&offset=0")]
    assert service.reads() == [0.0]
    assert min(service.deletions()) >= 2.0
    assert settled.verdicts() == {Verdict.DELETED: 200}
    assert {outcome.attempts for outcome in settled.outcomes} == {1}
    assert settled.engine.settlement.reads == 1


def test_a_refused_key_costs_one_request_and_stops_its_account_alone() -> None:
    """A wrong key: one request, that target unauthorized, all others skipped with the reason; other users go on."""
    service, other = Service(lists=lambda listing, nth: WRONG, latency=1.0), Service(latency=1.0)
    settled = run(service, other=Party(other, [(f"q{number}", "g") for number in range(30)]))
    assert len(service.calls) == 1 == len(service.reads())
    keyed = of_keyed(settled, service)
    assert [(one.attempts, one.status_code) for one in keyed if one.verdict is Verdict.UNAUTHORIZED] == [(1, 401)]
    skipped = [one for one in keyed if one.verdict is Verdict.SKIPPED]
    assert len(skipped) == 199
    assert {one.message for one in skipped} == {
        "not sent: the credential of keyed was refused (verify ak sk signature fail)"
    }
    assert {one.attempts for one in skipped} == {0}
    assert sum(one.target.project_id.startswith("q") for one in settled.outcomes) == 30
    assert settled.verdicts()[Verdict.DELETED] == 30
    assert other.times == [0.0] * 30


def test_a_stopped_account_keeps_no_share_of_the_fleet() -> None:
    """Projects of an account whose key was refused leave their slots to the others."""
    service, other = Service(lists=lambda listing, nth: WRONG, latency=0.5), Service(latency=1.0)
    groups = [("q", f"g{number}") for number in range(81)]
    run(service, fleet(200, 2), other=Party(other, groups, replace(FREE, project_concurrency=8)))
    assert other.most_in_flight["q"] == 8
    assert max(other.times) == pytest.approx(10, abs=0.01)


def test_targets_that_are_read_later_are_skipped_too() -> None:
    """A stopped account takes nothing more, in projects that it had not come to as well."""

    async def targets() -> AsyncIterator[Target]:
        yield Target("p0", "g")
        await anyio.sleep(10)
        yield Target("p1", "g")

    service = Service(lists=lambda listing, nth: WRONG)
    settled = run(service, targets())
    assert [one.verdict for one in settled.outcomes] == [Verdict.UNAUTHORIZED, Verdict.SKIPPED]
    assert len(service.calls) == 1


def test_a_key_that_dies_in_mid_run_costs_what_is_on_the_wire() -> None:
    """After the first refusal nothing new goes out; what is on the wire counts by its own answer."""
    service = Service(latency=0.37)
    # Arrived at 4.0 or later: refused, but those that the gateway let in at the last moment.
    service.answer = lambda target, nth: (
        WRONG if service.times[-1] >= 4.0 and target.server_group_id != "g19" else DELETED
    )
    limits = Limits("3/s", 8, None, None, None)
    settled = settle_all({"keyed": Party(service, fleet(10, 30), limits, one_key=True)}, concurrency=None)
    first_refusal = next(at for at, one in service.calls if at >= 4.0 and one.server_group_id != "g19") + 0.37
    assert max(service.times) <= first_refusal + 1e-4
    counted = settled.verdicts()
    on_the_wire = sum(at > first_refusal - 0.37 - 1e-4 for at in service.times)
    assert counted[Verdict.UNAUTHORIZED] <= on_the_wire
    assert counted[Verdict.DELETED] + counted[Verdict.UNAUTHORIZED] == len(service.deletions())
    assert counted[Verdict.SKIPPED] == 300 - len(service.deletions())


@pytest.mark.parametrize("first", [BUSY, None, THROTTLED])
def test_too_few_are_out_to_lock_a_key_that_is_not_proved(first: Reply | None) -> None:
    """While no answer has told whether the key is good, so few requests are out that their refusal locks nothing."""
    service = Service(lists=lambda listing, nth: first if len(service.calls) == 1 else WRONG, latency=1.0)
    settled = run(service, retry=RetryPolicy(timeout=5.0, base=0.01, cap=0.01))
    assert not service.deletions()
    assert len(service.calls) <= LOCKS
    assert service.most_in_flight["all"] <= 4
    kept = Verdict.UNREACHABLE if first is None else first.verdict
    assert set(settled.verdicts()) <= {Verdict.UNAUTHORIZED, Verdict.SKIPPED, kept}


@pytest.mark.parametrize("answer", [BUSY, None])
def test_a_key_that_is_never_answered_is_tried_by_a_few_at_a_time(answer: Reply | None) -> None:
    """A gateway that answers no read gets no deletion, and never more than four reads at once."""
    service = Service(lists=lambda listing, nth: answer)
    settled = run(service, fleet(10, 2), RetryPolicy(attempts=3, timeout=5.0, base=0.01, cap=0.01))
    assert not service.deletions()
    assert service.most_in_flight["all"] <= 4
    assert len(settled.outcomes) == 20
    assert {one.attempts for one in settled.outcomes} == {3}
    assert set(settled.verdicts()) == {Verdict.TRANSIENT if answer is not None else Verdict.UNREACHABLE}


def test_a_fault_before_the_proof_is_tried_again() -> None:
    """A read that met a fault goes out again; each target is deleted, and has all of its tries for that."""
    service = Service(lists=lambda listing, nth: BUSY if nth <= 3 else page())
    service.answer = lambda target, nth: BUSY if nth <= 3 else DELETED
    settled = run(service, [("p0", "g")], RetryPolicy(attempts=4, base=0.01))
    assert settled.verdicts() == {Verdict.DELETED: 1}
    assert settled.outcomes[0].attempts == 4 == len(service.deletions())
    assert settled.engine.settlement.reads == 4 == len(service.reads())


def test_a_read_that_is_throttled_waits_and_is_no_request_of_the_target() -> None:
    """A 429 for the read holds its scope; the target was neither tried nor throttled by it."""
    service = Service(lists=lambda listing, nth: THROTTLED if nth == 1 else page())
    settled = run(service, [("p0", "g")])
    assert [round(at, 1) for at in service.reads()] == [0.0, 5.0]
    assert (settled.outcomes[0].attempts, settled.outcomes[0].throttled) == (1, 0)
    assert settled.engine.settlement.reads == 2


def test_a_key_without_the_permission_to_list_is_a_good_one() -> None:
    """A 403 comes from behind the signature check: the deletions go out, all slots at once."""
    service = Service(lists=lambda listing, nth: Reply(Verdict.FORBIDDEN, 403, "APIGW.0302"), latency=1.0)
    assert run(service).verdicts() == {Verdict.DELETED: 200}
    assert len(service.reads()) == 1
    assert sum(at < 1.5 for at in service.deletions()) > 4


@pytest.mark.parametrize(
    "answer", [Reply(Verdict.GONE, 404, "APIGW.0101"), Reply(Verdict.REJECTED, 400, "SDRS.0201", "no")]
)
def test_what_the_read_is_answered_is_never_the_targets_outcome(answer: Reply) -> None:
    """A read that finds nothing, or that the service does not take, says nothing about the group: it is deleted."""
    service = Service(lists=lambda listing, nth: answer)
    settled = run(service)
    assert settled.verdicts() == {Verdict.DELETED: 200}
    assert len(service.deletions()) == 200


def test_a_project_that_the_service_refuses_stops_alone() -> None:
    """The service itself refuses a project (400, SDRS.0001): the key is good, so the others go on."""
    refusal = Reply(Verdict.UNAUTHORIZED, 400, "SDRS.0001", "bad project", retryable=False)
    service = Service(lists=lambda listing, nth: refusal)
    settled = run(service)
    assert settled.verdicts() == {Verdict.UNAUTHORIZED: 1, Verdict.SKIPPED: 19, Verdict.DELETED: 180}
    assert {one.target.project_id for one in settled.outcomes if one.verdict is Verdict.SKIPPED} == {"p0"}


# ---- what a read in place of a target must not leave behind


def test_a_deletion_after_a_long_wait_has_its_whole_time() -> None:
    """The time of a target begins with its own first try, however long it waits for its turn after the read."""
    service = Service(latency=1.0)
    limits = Limits("1/5min", 8, None, None, None)
    settled = settle_all(
        {"keyed": Party(service, [("p0", "g")], limits, one_key=True)}, retry=RetryPolicy(total=60, timeout=20)
    )
    assert settled.verdicts() == {Verdict.DELETED: 1}
    assert settled.outcomes[0].elapsed == pytest.approx(1.0)


def test_a_read_without_answer_explains_no_missing_group() -> None:
    """A group that is gone was not deleted by a read that got no answer."""
    service = Service(lists=lambda listing, nth: None if nth == 1 else page())
    service.answer = lambda target, nth: Reply(Verdict.GONE, 404, "SDRS.1013", "no such group")
    settled = run(service, [("p0", "g")], RetryPolicy(timeout=5, base=0.01))
    assert [(one.verdict, one.message) for one in settled.outcomes] == [(Verdict.GONE, "no such group")]


def test_a_proof_that_comes_after_the_refusal_sends_nothing() -> None:
    """Of several reads one is refused: what the others are answered sends no deletion any more."""
    # The first fails, then four are out: the second is refused, the others are let in later.
    replies = {1: BUSY, 2: WRONG}
    service = Service(lists=lambda listing, nth: replies.get(len(service.calls), page()))
    latencies = {1: 0.1, 2: 0.5}
    send = service.send

    async def slowly(call, timeout):  # type: ignore[no-untyped-def] # noqa: ASYNC109
        service.latency = latencies.get(len(service.calls) + 1, 1.0)
        return await send(call, timeout)

    service.send = slowly  # type: ignore[method-assign]
    settled = run(service, retry=RetryPolicy(base=0.01, cap=0.01))
    assert len(service.reads()) == 5
    assert not service.deletions()
    assert set(settled.verdicts()) == {Verdict.UNAUTHORIZED, Verdict.SKIPPED, Verdict.TRANSIENT}
    assert all(math.isfinite(one.elapsed) for one in settled.outcomes)


def test_a_stop_waits_for_the_proof_and_no_longer() -> None:
    """A run that is stopped while the read is on the wire ends with its answer, and sends no deletion."""
    service = Service(latency=1.0)

    async def stop(engine: Engine) -> None:
        await anyio.sleep(0.5)
        engine.stop(grace=30)

    settled = settle_all({"keyed": Party(service, fleet(3, 3), one_key=True)}, during=stop)
    assert settled.verdicts() == {Verdict.UNSETTLED: 9}
    assert len(service.calls) == 1
    assert settled.seconds == pytest.approx(1.0)


def test_a_project_that_may_be_read_and_not_cleaned_is_stopped_like_any_other() -> None:
    """Five deletions that are forbidden stop a project, though the read before them was let in."""
    service = Service(answer=lambda target, nth: Reply(Verdict.FORBIDDEN, 403, "SDRS.0004", "not allowed"))
    limits = Limits(None, 1, None, None, None)
    settled = settle_all({"keyed": Party(service, fleet(2, 50), limits, one_key=True)})
    assert settled.verdicts() == {Verdict.FORBIDDEN: 10, Verdict.SKIPPED: 90}


# ---- over sockets


async def test_a_wrong_secret_key_costs_one_request_to_the_server() -> None:
    """10,000 groups and a wrong key: the server sees one request, no lock, and the message says what to do."""
    async with Simulator(projects=100, groups=100, failed_tasks=1) as sim:
        secret = "SomeOtherSecretKey0123456789"
        auth = AkSk(sim.environment["HUAWEICLOUD_SDK_AK"], secret)
        account = Account("prod", sim.url, auth)
        async with connect(account) as session:
            with pytest.raises(AuthenticationError) as raised:
                await session.clean(sim.targets)
        assert [entry.route for entry in sim.log] == ["list_groups"]
        assert sim.locked_keys == []
    message = str(raised.value)
    assert "prod" in message
    assert "secret key" in message
    assert secret not in message
    report = raised.value.report
    assert report is not None
    assert report.exit_code == 3
    assert report.targets == {
        **{"planned": 10_000, "done": 0, "gone": 0, "failed": 1, "skipped": 9_999, "unsettled": 0, "duplicates": 0}
    }
    assert list(report.refused_accounts) == ["prod"]


async def test_a_good_key_cleans_everything_and_the_numbers_agree() -> None:
    """Requests for targets and reads add up to what the server saw."""
    async with Simulator(projects=5, groups=10, faults=[Fault("status", 0.2, status=503)]) as sim:
        keys = sim.environment
        auth = AkSk(keys["HUAWEICLOUD_SDK_AK"], keys["HUAWEICLOUD_SDK_SK"])
        async with connect(Account("prod", sim.url, auth), retry=RetryPolicy(base=0.01, cap=0.02)) as session:
            report = await session.clean(sim.targets)
        assert sim.remaining == 0
        requests = report.to_dict()["requests"]
        assert requests["reads"] == 1
        assert requests["sent"] + requests["reads"] == len(sim.log)
        assert sim.log[0].route == "list_groups"


async def test_a_wrong_key_with_discovery_costs_one_request_too() -> None:
    """Where the projects are looked for first, their list proves the key."""
    async with Simulator(projects=10, groups=10) as sim:
        auth = AkSk(sim.environment["HUAWEICLOUD_SDK_AK"], "SomeOtherSecretKey0123456789")
        async with connect(Account("prod", sim.url, auth, iam_endpoint=sim.url)) as session:
            with pytest.raises(AuthenticationError) as raised:
                await session.clean(Selection())
        assert [entry.route for entry in sim.log] == ["list_own_projects"]
    assert raised.value.report is not None
    assert raised.value.report.exit_code == 3


def _of_one_key(*services: Service) -> dict[str, Party]:
    """A user at each service, all of which sign with the same key."""
    return {
        f"region {number}": Party(
            service, [(f"p{number}-{project}", "g") for project in range(5)], one_key=True, identity="AK"
        )
        for number, service in enumerate(services)
    }


def test_accounts_of_one_key_share_its_proof_and_its_refusal() -> None:
    """Ten regions with one wrong key cost one refusal, not ten: six of them would lock the key for others as well."""
    services = [Service(lists=lambda listing, nth: WRONG, latency=1.0) for _ in range(10)]
    settled = settle_all(_of_one_key(*services))
    assert sum(len(service.calls) for service in services) == 1
    assert settled.verdicts() == {Verdict.UNAUTHORIZED: 1, Verdict.SKIPPED: 49}
    assert {user.standing.refused for user in settled.engine.fleet.users} == {WRONG.message}


def test_accounts_of_one_key_need_one_proof() -> None:
    """What has proven the key in one region need not be proven in the next."""
    services = [Service(lists=lambda listing, nth: page(), latency=1.0) for _ in range(10)]
    settled = settle_all(_of_one_key(*services))
    assert settled.engine.settlement.reads == 1
    assert settled.verdicts() == {Verdict.DELETED: 50}


def test_a_key_that_one_region_does_not_know_goes_on_in_the_others() -> None:
    """A refusal where the key was never let in stops nobody for whom it is good."""
    good = Service(lists=lambda listing, nth: page(), latency=1.0)
    strange = Service(answer=lambda target, nth: WRONG, latency=60.0)
    settled = settle_all(_of_one_key(good, strange), retry=RetryPolicy(timeout=90.0))
    assert {outcome.verdict for outcome in settled.outcomes if outcome.target.project_id.startswith("p0")} == {
        Verdict.DELETED
    }
    assert Verdict.DELETED not in {
        outcome.verdict for outcome in settled.outcomes if outcome.target.project_id.startswith("p1")
    }
