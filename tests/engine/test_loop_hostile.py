"""The engine in situations that nobody plans for: awkward moments, slow projects, short times."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import sources
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Call, Outcome, Reply, Target, Verdict
from tests.support.engine_runs import DELETED, Iam, Service, engine_of, fleet, settle
from tests.support.virtual_time import run_virtual

FREE = Limits(None, None, None, None, None)
BUSY = Reply(Verdict.TRANSIENT, 503, "APIGW.0203", "backend timeout")


def throttled(retry_after: float) -> Reply:
    """A 429 of the gateway."""
    return Reply(Verdict.THROTTLED, 429, "APIGW.0308", "throttled", retry_after=retry_after)


def late(service: Service, group: str, seconds: float) -> Service:
    """Requests of this group take `seconds` longer."""
    send = service.send

    async def slow(target: Call, timeout: float) -> Reply:  # noqa: ASYNC109
        if target == Target(target.project_id, group):
            await asyncio.sleep(seconds)
        return await send(target, timeout)

    service.send = slow  # type: ignore[method-assign]
    return service


@pytest.mark.parametrize("by", ["task", "scope"])
def test_an_answer_in_the_turn_of_the_cancellation(by: str) -> None:
    """An idle worker's future is cancelled already when another worker's answer hands out a job."""

    async def main() -> list[Outcome]:
        outcomes: list[Outcome] = []
        wire: dict[Call, asyncio.Future[Reply]] = {}

        async def send(target: Call, timeout: float) -> Reply:  # noqa: ASYNC109
            wire[target] = asyncio.get_running_loop().create_future()
            return await wire[target]

        engine, user = engine_of(send, outcomes.append, FREE)
        scope = anyio.CancelScope()

        async def drive() -> None:
            with scope:
                await engine.run(sources([("a", "g"), *(("b", f"g{n}") for n in range(4))], 100, user))

        task = asyncio.create_task(drive())
        await asyncio.sleep(0.01)
        wire[Target("a", "g")].set_result(DELETED)
        await asyncio.sleep(0.01)  # its worker is idle now, b's first one is on the wire, three of b are ready
        if by == "task":
            task.cancel()
            wire[Target("b", "g0")].set_result(DELETED)
            before = len(wire)
            await asyncio.wait([task])
            assert len(wire) == before  # an answer that comes after the cancellation starts nothing
        else:
            wire[Target("b", "g0")].set_result(DELETED)
            scope.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
        return outcomes

    assert len(run_virtual(main())) == 5


def test_a_retry_that_falls_into_a_long_hold_fails_at_once() -> None:
    """Answered 503 after its project was held for 500 s, with 60 s in all."""
    answers = {"g0": throttled(500.0), "g1": BUSY}
    service = late(Service(answer=lambda t, n: answers.get(t.server_group_id, DELETED)), "g1", 0.5)
    settled = settle(service, [("p", "first"), ("p", "g0"), ("p", "g1")], FREE, RetryPolicy(total=60))
    assert max(outcome.elapsed for outcome in settled.outcomes) < 60


def test_a_shorter_429_under_a_longer_hold_fails_at_once() -> None:
    """The hold that counts is the scope's, not this reply's."""
    answers = {"g0": throttled(500.0), "g1": throttled(1.0)}
    service = Service(answer=lambda t, n: answers.get(t.server_group_id, DELETED))
    settled = settle(service, [("p", "first"), ("p", "g0"), ("p", "g1")], FREE, RetryPolicy(total=60))
    assert max(outcome.elapsed for outcome in settled.outcomes) < 60


def test_total_holds_while_a_target_waits_for_its_projects_turn() -> None:
    """200 failed tries, the next window in 300 s, 60 s per target."""
    settled = settle(
        Service(answer=lambda t, n: BUSY), fleet(1, 200), Limits("200/5min", None, None, None, None),
        RetryPolicy(total=60, attempts=99),
    )  # fmt: skip
    assert max(outcome.elapsed for outcome in settled.outcomes) <= 61


def test_total_holds_while_a_target_waits_behind_others() -> None:
    """While 50 targets wait for their next try, others use up the user's window: the 50 fail in time all the same."""

    async def targets() -> AsyncIterator[tuple[str, str]]:
        for number in range(50):
            yield f"bad{number}", "g"
        await anyio.sleep(1)
        for number in range(60):
            yield f"ok{number}", "g"

    service = Service(answer=lambda t, n: BUSY if t.project_id.startswith("bad") else DELETED)
    limits = Limits(None, None, "100/5min", None, None)
    settled = settle(service, targets(), limits, RetryPolicy(total=60, attempts=99, base=40, cap=40))
    assert max(outcome.elapsed for outcome in settled.outcomes) <= 63


def _healthy_end(service: Service) -> float:
    return max(times[-1] for project, times in service.arrived.items() if project.startswith("ok"))


def test_one_slot_is_shared_with_a_hanging_project() -> None:
    """With concurrency 1 the hanging ring always goes first: the healthy project comes after ALL its tries."""
    service = Service(answer=lambda t, n: None if t.project_id == "hang" else DELETED)
    targets = {"hang": [f"g{n}" for n in range(40)], "ok": [f"g{n}" for n in range(10)]}
    settle(service, targets, Limits(None, 8, None, None, 1), RetryPolicy(timeout=5, attempts=3))
    assert _healthy_end(service) <= service.arrived["hang"][12]


def test_failing_projects_do_not_take_the_whole_shared_rate() -> None:
    """One time-out, then resets: such lanes stay in the ring that goes first and drain the endpoint's rate."""
    reset = Reply(Verdict.UNREACHABLE, message="reset")

    def answer(target: Target, nth: int) -> Reply | None:
        if target.project_id.startswith("bad"):
            return None if len(service.arrived[target.project_id]) <= 1 else reset
        return DELETED

    service = Service(answer=answer)
    targets = {f"bad{p}": [f"g{n}" for n in range(200)] for p in range(10)}
    targets |= {f"ok{p}": [f"g{n}" for n in range(100)] for p in range(10)}
    settle(service, targets, Limits("10/s", 8, None, "50/s", 32), RetryPolicy(timeout=1, attempts=3))
    assert _healthy_end(service) <= 2.2 * 21  # round robin would give them half the rate; it takes 143 s


def test_slow_projects_leave_slots_to_the_others() -> None:
    """Eight projects that answer after 25 s, eight slots each, hold all 64: 49 others take 305 s instead of 50."""
    service = Service()
    send = service.send

    async def slow(target: Call, timeout: float) -> Reply:  # noqa: ASYNC109
        if target.project_id.startswith("slow"):
            await asyncio.sleep(10)
        return await send(target, timeout)

    service.send = slow  # type: ignore[method-assign]
    targets = {f"ok{p}": [f"g{n}" for n in range(100)] for p in range(49)}
    targets |= {f"slow{p}": [f"g{n}" for n in range(100)] for p in range(8)}
    settle(service, targets, Limits("10/s", 8, None, "200/s", 64))
    assert _healthy_end(service) <= 1.1 * 25 + 10


def test_an_async_source_that_never_suspends_stops_too() -> None:
    """Only the synchronous branch gives the loop a turn; a stopped run reads the other one to its end."""
    read = 0

    async def many() -> AsyncIterator[str]:
        nonlocal read
        for number in range(50_000):
            read += 1
            yield f"g{number}"

    def broken() -> Iterator[str]:
        yield from ()
        raise LookupError

    settle(Service(), {"a": broken(), "b": many()}, FREE)
    assert read <= 1000


def test_the_last_moments_of_a_target_are_no_try() -> None:
    """A try that starts with milliseconds left hides the 503 behind 'no answer within 0.0 s'."""

    async def send(target: Call, timeout: float) -> Reply:  # noqa: ASYNC109
        await asyncio.sleep(min(timeout, 0.5))
        if timeout < 0.5:
            return Reply(Verdict.UNREACHABLE, message=f"no answer within {timeout:.3f} s", timed_out=True)
        return BUSY

    service = Service()
    service.send = send  # type: ignore[method-assign]
    settled = settle(service, fleet(1, 300), FREE, RetryPolicy(total=10, attempts=99, base=3.0, cap=3.0))
    assert set(settled.verdicts()) == {Verdict.TRANSIENT}


def test_a_renewal_out_of_time_stops_the_project_too() -> None:
    """The renewed try never goes out (its time is over): every target is refused instead of one."""
    expired = Reply(Verdict.UNAUTHORIZED, 401, message="expired")
    service = Service(answer=lambda t, n: expired, latency=0.5)
    settled = settle(service, fleet(1, 10), FREE, RetryPolicy(total=0.5))
    assert settled.verdicts().get(Verdict.SKIPPED)


def test_a_project_that_answers_something_else_is_not_stopped_by_403() -> None:
    """A 409 comes from behind the permission check."""
    no = Reply(Verdict.FORBIDDEN, 403)
    service = Service(answer=lambda t, n: Reply(Verdict.CONFLICT, 409) if t.server_group_id == "g0" else no)
    settled = settle(service, fleet(1, 20), Limits(None, 1, None, None, None), RetryPolicy(base=0.001))
    assert Verdict.SKIPPED not in settled.verdicts()


def test_less_grace_is_kept_and_more_is_not_given() -> None:
    """`stop(1)` and then `stop(30)`: it ends after one second."""

    async def stop(engine: Engine) -> None:
        await anyio.sleep(1)
        engine.stop(1)
        engine.stop(30)

    settled = settle(Service(answer=lambda t, n: None), fleet(1, 2), FREE, RetryPolicy(timeout=60), during=stop)
    assert settled.seconds == pytest.approx(2, abs=0.01)


def test_with_nothing_on_the_wire_a_stop_ends_at_once() -> None:
    """Neither a wait for the next try nor a source that says nothing keeps a stopped run."""

    async def targets() -> AsyncIterator[tuple[str, str]]:
        yield "p", "g"
        await anyio.sleep(1000)

    async def stop(engine: Engine) -> None:
        await anyio.sleep(5)
        engine.stop(3)

    settled = settle(Service(answer=lambda t, n: BUSY), targets(), FREE, RetryPolicy(base=900, cap=900), during=stop)
    assert settled.seconds == pytest.approx(5, abs=0.01)


def test_a_try_never_gets_more_time_than_its_target_has_left() -> None:
    """The first try hangs for 30 s, the target has 5 s in all."""
    [outcome] = settle(Service(answer=lambda t, n: None), [("p", "g")], FREE, RetryPolicy(total=5)).outcomes
    assert outcome.elapsed == pytest.approx(5, abs=0.01)


def test_elapsed_counts_from_the_first_try_and_is_zero_without_one() -> None:
    """Tried for three seconds, or never."""
    [outcome] = settle(
        Service(answer=lambda t, n: BUSY), [("p", "g")], FREE, RetryPolicy(attempts=99, total=3)
    ).outcomes
    assert 2 < outcome.elapsed <= 3

    async def stop(engine: Engine) -> None:
        await anyio.sleep(5)
        engine.stop(0)

    unsent = settle(Service(), fleet(1, 9), Limits("1/10s", 1, None, None, None), during=stop).outcomes[-1]
    assert (unsent.verdict, unsent.attempts, unsent.elapsed) == (Verdict.UNSETTLED, 0, 0.0)


def test_nothing_is_sent_for_a_project_after_it_was_stopped() -> None:
    """Two on the wire: the first is refused for good, the second would be tried again; it is not."""
    no = Reply(Verdict.UNAUTHORIZED, 401, message="no", retryable=False)
    answers = {"g1": no, "g2": BUSY}
    service = late(Service(answer=lambda t, n: answers.get(t.server_group_id, DELETED)), "g2", 0.5)
    settled = settle(service, fleet(1, 9), Limits(None, 2, None, None, None))
    assert service.came[Target("p0", "g2")] == 1
    assert settled.verdicts()[Verdict.SKIPPED] == 6


def test_only_a_lost_request_explains_a_missing_group() -> None:
    """After an answer, or a connection that was refused, a missing group was not deleted by this run."""
    refused = Reply(Verdict.UNREACHABLE, message="refused")
    gone = Reply(Verdict.GONE, 404, message="not found")
    for first in (BUSY, refused):
        answers = iter([first, gone])
        [outcome] = settle(Service(answer=lambda t, n, a=answers: next(a)), [("p", "g")], FREE).outcomes  # type: ignore[misc]  # bound early
        assert outcome.message == "not found"
    lost = iter([None, BUSY, gone])
    [outcome] = settle(Service(answer=lambda t, n: next(lost)), [("p", "g")], FREE, RetryPolicy(timeout=1)).outcomes
    assert "earlier try" in outcome.message


def test_a_hold_of_the_endpoint_fails_the_waiting_of_other_projects() -> None:
    """A target of another project that waits for its next try has no time for the hold: it fails at once."""
    answers = {"p0": BUSY, "p1": Reply(Verdict.THROTTLED, 429, scope="endpoint", retry_after=500)}
    service = late(Service(answer=lambda t, n: answers[t.project_id]), "late", 0.5)
    settled = settle(service, [("p0", "g"), ("p1", "late")], FREE, RetryPolicy(total=60, base=50, cap=50))
    assert {outcome.verdict for outcome in settled.outcomes} == {Verdict.THROTTLED}
    assert max(outcome.elapsed for outcome in settled.outcomes) < 2


@pytest.mark.parametrize("turns", range(8))
def test_a_run_that_is_cancelled_in_its_first_moments_leaves_the_next_one_all_it_needs(turns: int) -> None:
    """Sign-ins and workers that were started and never began hold neither their places nor those of the next run."""
    outcomes: list[Outcome] = []

    async def main() -> None:
        engine, user = engine_of(Service().send, outcomes.append, Limits(None, 1, None, None, 8), sign_in=Iam().sign_in)
        first = asyncio.create_task(engine.run(sources(fleet(8, 2), 100, user)))
        for _ in range(turns):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert not [lane for lane in engine.fleet.lanes() if lane.has_work() or lane.turn.active]
        outcomes.clear()
        again = Engine(engine.fleet, outcomes.append, RetryPolicy())
        await again.run(sources(fleet(8, 2), 100, user))
        assert again.error is None

    run_virtual(main())
    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELETED] * 16
