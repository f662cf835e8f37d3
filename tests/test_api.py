"""The two doors of the library against the simulator, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from sdrs_async import (
    AuthenticationError,
    ConfigError,
    Limits,
    Outcome,
    Report,
    RetryPolicy,
    Run,
    Selection,
    StaticToken,
    Target,
    clean,
    stream,
)
from sdrs_async.simulator import Fault, Simulator
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

FAST = Limits(None, 8, None, None, 64)


def counts(report: Report) -> dict[str, int]:
    """The report's counts of targets that are not zero."""
    targets: dict[str, int] = report.to_dict()["targets"]
    return {name: count for name, count in targets.items() if count}


async def collect(context: AbstractAsyncContextManager[Run], take: Callable[[Outcome], None]) -> None:
    """Hand each outcome of a stream to `take`."""
    async with context as run:
        async for outcome in run:
            take(outcome)


async def test_clean_deletes_everything_and_reports_it() -> None:
    """Every failed task of every group is gone afterwards, with one request for each group."""
    async with Simulator(projects=5, groups=10, failed_tasks=3) as sim:
        report = await clean(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token), limits=FAST)
        assert sim.remaining == 0
        assert len(sim.log) == 50
    assert counts(report) == {"planned": 50, "done": 50}
    assert report.exit_code == 0
    assert report.to_dict()["interrupted"] is False


async def test_stream_hands_out_each_outcome() -> None:
    """The iteration yields one outcome per group, and the report is complete when it ends."""
    async with Simulator(projects=3, groups=4) as sim:
        async with stream(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token), limits=FAST) as run:
            outcomes = [outcome async for outcome in run]
        assert {outcome.target for outcome in outcomes} == {Target(*target) for target in sim.targets}
    assert {(outcome.verdict, outcome.status_code, outcome.attempts) for outcome in outcomes} == {("deleted", 204, 1)}
    assert all(outcome.request_id for outcome in outcomes)
    assert counts(run.report) == {"planned": 12, "done": 12}


async def test_the_only_account_of_a_run_has_no_name() -> None:
    """Nobody gave it one, so that data has none to show; messages call it the account."""
    faults = [Fault("status", status=405, times=1), Fault("status", status=403, route="list_groups")]
    async with Simulator(projects=2, groups=1, faults=faults, user_rate="3/s") as sim:
        async with stream(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token)) as run:
            assert {outcome.account async for outcome in run} == {""}
        document = run.report.to_dict()
        found = await clean(
            Selection([sim.targets[0][0]]), endpoint=sim.url, auth=StaticToken(sim.token), iam_endpoint=sim.url
        )
        with pytest.raises(AuthenticationError, match=r"no account could sign in \(the account: ") as caught:
            await clean(sim.targets, endpoint=sim.url, auth=StaticToken("wrong"))
    assert {row["account"] for row in [*document["projects"], *document["failures"]]} == {""}
    assert [row["account"] for row in found.to_dict()["discovery"]["failed"]] == [""]
    assert caught.value.report is not None
    assert [row["account"] for row in caught.value.report.to_dict()["accounts"]["failed"]] == [""]


async def test_a_hard_fleet_is_cleaned_to_the_last_task() -> None:
    """100 projects x 12 groups under 503, 429, resets and slow answers: all deleted, nothing left, all explained."""
    faults = [
        Fault("status", 0.05, status=503),
        Fault("status", 0.02, status=429, headers={"Retry-After": "0.05"}),
        Fault("reset-before", 0.005),
        Fault("reset-after", 0.005),
        Fault("latency", 0.02, seconds=0.1),
    ]
    retry = RetryPolicy(attempts=12, base=0.01, cap=0.1)
    # Its 429s name this limit, which is higher than anything that is sent.
    async with Simulator(projects=100, groups=12, failed_tasks=1, faults=faults, seed=4, project_rate="200/s") as sim:
        async with stream(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token), limits=FAST, retry=retry) as run:
            attempts = {outcome.target: outcome.attempts async for outcome in run}
        assert sim.remaining == 0
        arrived: dict[Target, int] = {}
        for entry in sim.log:
            target = Target(entry.project_id or "", entry.server_group_id or "")
            arrived[target] = arrived.get(target, 0) + 1
        faulty = sum(entry.fault not in (None, "latency") for entry in sim.log)
    assert arrived == attempts, "the report's numbers and the server's agree, target by target"
    data = run.report.to_dict()
    targets = data["targets"]
    assert targets["planned"] == 1200 == targets["done"] + targets["gone"]
    assert data["requests"]["sent"] == sum(arrived.values())
    assert data["requests"]["retries"] == faulty, "every repeat has its fault"
    assert run.report.exit_code == 0


async def test_a_group_that_is_missing_is_gone_and_no_failure() -> None:
    """A group unknown to the service is counted apart, and the exit code stays 0."""
    async with Simulator(projects=1, groups=1) as sim:
        project = sim.targets[0][0]
        targets = [*sim.targets, (project, "decf224d-87fe-403a-8721-037a1a45c287")]
        report = await clean(targets, endpoint=sim.url, auth=StaticToken(sim.token))
    assert counts(report) == {"planned": 2, "done": 1, "gone": 1}
    assert report.exit_code == 0


# Both come to 200 requests a second, which a slow machine can do too: the rate is what holds them back.
@pytest.mark.parametrize(("rate", "projects"), [("10/s", 20), ("50/s", 4)])
async def test_no_window_is_broken_over_sockets(rate: str, projects: int) -> None:
    """Many projects side by side, connection set-up included: no window above the limit, and not one 429."""
    groups = int(rate.partition("/")[0]) * 5 // 2
    async with Simulator(projects=projects, groups=groups, latency=0.02, project_rate=rate) as sim:
        limits = Limits(rate, None, None, None, 64)
        report = await clean(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token), limits=limits)
        assert sim.most_in_window(1.0) <= int(rate.partition("/")[0])
        assert {entry.status for entry in sim.log} == {204}
    assert counts(report) == {"planned": projects * groups, "done": projects * groups}


async def test_shared_rates_hold_over_sockets() -> None:
    """A user's rate is shared by all projects, as the server counts it."""
    async with Simulator(projects=10, groups=10, user_rate="40/s") as sim:
        limits = Limits(None, 8, "40/s", None, 64)
        await clean(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token), limits=limits)
        assert sim.most_in_window(1.0, by="endpoint") <= 40
        assert {entry.status for entry in sim.log} == {204}


async def test_duplicates_are_sent_once_and_counted() -> None:
    """The same group twice costs one request."""
    async with Simulator(projects=1, groups=3) as sim:
        report = await clean(sim.targets * 2, endpoint=sim.url, auth=StaticToken(sim.token))
        assert len(sim.log) == 3
    assert counts(report) == {"planned": 3, "done": 3, "duplicates": 3}


# ---- what stops a run


async def test_a_wrong_token_raises_with_the_report() -> None:
    """No account could sign in: the error carries the report, each project was asked once, and the exit code is 3."""
    async with Simulator(projects=4, groups=5) as sim:
        with pytest.raises(AuthenticationError, match="no account could sign in") as caught:
            await clean(sim.targets, endpoint=sim.url, auth=StaticToken("wrong"), limits=FAST)
        assert len(sim.log) == 4
    assert caught.value.report is not None
    assert counts(caught.value.report) == {"planned": 20, "failed": 4, "skipped": 16}
    assert caught.value.report.exit_code == 3
    assert "wrong" not in str(caught.value)


async def test_a_wrong_token_ends_the_iteration_of_a_stream() -> None:
    """The outcomes are handed out all the same; the error comes where the iteration ends."""
    outcomes: list[Outcome] = []
    async with Simulator(projects=1, groups=3) as sim:
        with pytest.raises(AuthenticationError):
            await collect(stream(sim.targets, endpoint=sim.url, auth=StaticToken("wrong")), outcomes.append)
    assert sorted(outcome.verdict for outcome in outcomes) == ["skipped", "skipped", "unauthorized"]


async def test_a_project_that_refuses_the_token_is_data_beside_others() -> None:
    """Where some project lets the token in, another one's refusal is no exception."""
    refusing = Simulator(projects=2).targets[0][0]
    async with Simulator(projects=2, groups=3, faults=[Fault("status", status=401, only=[refusing])]) as sim:
        report = await clean(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token))
    assert counts(report) == {"planned": 6, "done": 3, "failed": 1, "skipped": 2}
    assert report.exit_code == 1


async def test_a_bad_item_raises_with_the_report_so_far() -> None:
    """What was read before the bad item is accounted for; nothing after it is read."""

    def targets() -> Iterator[tuple[str, str]]:
        yield from first
        yield "p", "batch"
        raise AssertionError("read on")

    async with Simulator(projects=1, groups=3) as sim:
        first = sim.targets
        with pytest.raises(ConfigError, match="target number 4: server_group_id 'batch' is refused") as caught:
            await clean(targets(), endpoint=sim.url, auth=StaticToken(sim.token))
    assert caught.value.report is not None
    assert caught.value.report.to_dict()["targets"]["planned"] == 3


async def test_an_error_of_the_callers_iterator_comes_through_as_it_is() -> None:
    """Not as a member of a group, and after what was on the wire was answered."""

    async def targets() -> AsyncIterator[tuple[str, str]]:
        for target in sim.targets:
            yield target
        await until(lambda: len(sim.log) == 3)
        raise LookupError("mine")

    outcomes: list[Outcome] = []
    async with Simulator(projects=3, groups=1, latency=0.05) as sim:
        with pytest.raises(LookupError, match="mine"):
            await collect(stream(targets(), endpoint=sim.url, auth=StaticToken(sim.token)), outcomes.append)
        assert sim.remaining == 0
    assert [outcome.verdict for outcome in outcomes] == ["deleted"] * 3


@pytest.mark.parametrize(
    ("endpoint", "targets"), [("http://sdrs.example.com", []), ("ftp://x", []), ("https://x", "p/g")]
)
async def test_bad_arguments_are_refused_before_anything_is_read(endpoint: str, targets: object) -> None:
    """A credential is not sent in the clear, and what cannot be targets is no empty list of them."""
    with pytest.raises(ConfigError):
        await clean(targets, endpoint=endpoint, auth=StaticToken("t"))  # type: ignore[arg-type]  # that is the test


async def test_a_defect_of_a_credential_object_comes_through_as_it_is() -> None:
    """An exception that nobody expects is neither swallowed nor wrapped in a group."""

    class Broken(StaticToken):
        async def sign(self, request: object, project_id: str) -> dict[str, str]:
            raise ZeroDivisionError

    async with Simulator() as sim:
        with pytest.raises(ZeroDivisionError):
            await clean(sim.targets, endpoint=sim.url, auth=Broken("t"))


# ---- stopping and cancelling


async def test_stop_finishes_what_is_on_the_wire() -> None:
    """After `stop` the iteration ends with the answers that were due; the rest is unsettled, the exit code 130."""
    async with Simulator(projects=2, groups=20, latency=0.05) as sim:
        async with stream(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token), limits=FAST) as run:
            async for _ in run:
                run.stop()
        assert sim.remaining == 2 * (40 - len(sim.log))
    data = run.report.to_dict()
    assert data["interrupted"] is True
    assert data["targets"]["planned"] == 40
    assert data["targets"]["done"] == len(sim.log) == 40 - data["targets"]["unsettled"]
    assert run.report.exit_code == 130


async def test_leaving_the_context_early_cancels_the_rest() -> None:
    """A consumer that breaks out of the loop gets a report that accounts for all that was read."""
    async with (
        Simulator(projects=1, groups=10, latency=0.02) as sim,
        stream(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token)) as run,
    ):
        async for _ in run:
            break
    targets = run.report.to_dict()["targets"]
    assert targets["planned"] == 10 == targets["done"] + targets["unsettled"]
    assert run.report.to_dict()["interrupted"] is True


async def test_an_error_in_the_loops_body_comes_through_as_it_is() -> None:
    """The consumer's own exception is not wrapped in a group."""

    def fail(outcome: Outcome) -> None:
        raise LookupError

    async with Simulator(projects=1, groups=10, latency=0.02) as sim:
        with pytest.raises(LookupError):
            await collect(stream(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token)), fail)


async def test_cancelling_clean_gives_no_grace_and_leaks_nothing() -> None:
    """The requests on the wire are given up at once, and no connection stays open."""
    async with Simulator(projects=1, groups=5, faults=[Fault("hang")]) as sim:
        task = asyncio.create_task(clean(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token)))
        await until(lambda: sim.log)
        task.cancel()
        with anyio.fail_after(2), pytest.raises(asyncio.CancelledError):
            await task


async def test_a_slow_consumer_slows_the_run_down() -> None:
    """Outcomes do not pile up: the run waits while about a thousand of them wait for their consumer."""
    async with Simulator(projects=20, groups=60, failed_tasks=1) as sim:
        async with stream(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token), limits=FAST) as run:
            seen = 0
            async for _ in run:
                if not seen:
                    await until(lambda: run.report.targets["done"] >= 1024)
                    await anyio.wait_all_tasks_blocked()
                    assert len(sim.log) <= 1024 + 64
                seen += 1
        assert seen == 1200


async def test_hold_is_visible_while_a_scope_waits() -> None:
    """`held` tells how many scopes wait after a 429, and for how long."""
    faults = [Fault("status", status=429, headers={"Retry-After": "30"}, times=1)]
    async with (
        Simulator(projects=1, groups=2, faults=faults) as sim,
        stream(sim.targets, endpoint=sim.url, auth=StaticToken(sim.token)) as run,
    ):
        await until(lambda: run.held()[0])
        scopes, seconds = run.held()
    assert scopes == 1
    assert 25 < seconds <= 30
