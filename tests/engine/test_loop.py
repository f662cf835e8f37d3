import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from functools import cache
from random import Random

import anyio
import pytest

from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import sources
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, Rate, RetryPolicy
from sdrs_async.models import Call, Outcome, Reply, Target, Verdict
from tests.support.engine_runs import DELETED, Service, engine_of, fleet, held, most_in_window, settle
from tests.support.virtual_time import run_virtual

FREE = Limits(None, None, None, None, None)
BUSY = Reply(Verdict.TRANSIENT, 503, "APIGW.0203", "backend timeout")


def throttled(scope: str = "project", retry_after: float | None = None, told: Rate | None = None) -> Reply:
    """A 429 of the gateway."""
    return Reply(Verdict.THROTTLED, 429, "APIGW.0308", "throttled", scope=scope, retry_after=retry_after, told=told)


def test_every_target_is_sent_once_and_settled() -> None:
    """Without trouble each target costs one request and has one outcome."""
    service = Service()
    settled = settle(service, fleet(10, 10), FREE)
    assert {outcome.target for outcome in settled.outcomes} == {Target(*pair) for pair in fleet(10, 10)}
    assert set(service.came.values()) == {1}
    assert settled.verdicts() == {Verdict.DELETED: 100}


def test_caps_hold_for_each_project_and_for_the_fleet() -> None:
    """No project has more than its cap on the wire, nor than its share of the fleet's, and all no more than that."""
    for cap, most, each in ((100, 30, 3), (20, 20, 2)):
        service = Service()
        settle(service, fleet(10, 50), Limits(None, 3, None, None, cap))
        assert service.most_in_flight.pop("all") == most
        assert max(service.most_in_flight.values()) == each


# ---- no project waits for another


def test_a_paced_project_delays_no_other() -> None:
    """Nine projects of one group each are done at once, however far behind a long one stands in the list."""
    targets = [("slow", f"g{number}") for number in range(200)] + [(f"p{number}", "g") for number in range(9)]
    service = Service()
    settle(service, targets, Limits("10/s", 8, None, None, 64))
    assert all(service.arrived[f"p{number}"] == [0.0] for number in range(9))


def test_a_throttled_project_delays_no_other() -> None:
    """While one project waits for ten seconds after a 429, the others go on."""
    service = Service(answer=lambda t, n: throttled(retry_after=10.0) if t.project_id == "p0" and n == 1 else DELETED)
    settle(service, fleet(5, 20), Limits("10/s", 2, None, None, 8))
    others = [at for at, target in service.calls if target.project_id != "p0"]
    assert max(others) < 3


IMPATIENT = RetryPolicy(attempts=3, timeout=5.0)


@cache
def last_start(hanging: int) -> float:
    """When the last request of 24 healthy projects starts beside so many that hang, with 32 slots for all."""
    service = Service(answer=lambda t, n: None if t.project_id.startswith("hang") else DELETED)
    targets = {f"p{number}": [f"g{group}" for group in range(100)] for number in range(24)}
    targets |= {f"hang{number}": [f"g{group}" for group in range(40)] for number in range(hanging)}
    settle(service, targets, Limits("10/s", 8, None, None, 32), IMPATIENT)
    return max(max(service.arrived[f"p{number}"]) for number in range(24))


@pytest.mark.parametrize("hanging", [1, 4, 50])
def test_hanging_projects_cannot_fill_the_fleets_cap(hanging: int) -> None:
    """Once the first time-outs have passed, healthy projects take at most 1.1 times as long as without hanging ones."""
    # Until their first time-out, hanging projects do hold what they have got.
    assert last_start(hanging) - IMPATIENT.timeout * -(-hanging // 32) <= 1.1 * last_start(0)


def test_a_project_that_times_out_falls_to_one_slot_until_it_is_answered() -> None:
    """After its time-outs a project has one request on the wire, and all its slots again after an answer."""
    service = Service(latency=1.0, answer=lambda t, n: None if 2 <= len(service.times) <= 5 else DELETED)
    settle(service, fleet(1, 30), Limits(None, 4, None, None, None), RetryPolicy(timeout=5, base=0.001))
    starts = [round(at, 1) for at in service.times]
    assert starts[:5] == [0, 1, 1, 1, 1], "the first goes alone, then all four slots hang"
    assert starts[5:7] == [6, 7], "the next one goes alone"
    assert starts.count(7) == 4


def test_a_project_that_was_never_answered_has_one_request_on_the_wire() -> None:
    """What refuses or hangs from the start costs each project one request, not its whole cap."""
    service = Service(latency=1.0)
    settle(service, fleet(2, 9), Limits(None, 8, None, None, None))
    assert [round(at, 1) for at in service.times] == [0] * 2 + [1] * 16


# ---- trying again


def test_a_transient_answer_is_tried_again_and_holds_no_slot() -> None:
    """A target that waits for its next try leaves its slot to others."""
    service = Service(answer=lambda t, n: BUSY if n <= 2 and t.server_group_id == "g0" else DELETED)
    settled = settle(service, fleet(1, 20), Limits(None, 1, None, None, 1), RetryPolicy(base=100, cap=100))
    assert settled.verdicts() == {Verdict.DELETED: 20}
    assert settled.outcomes[-1].target.server_group_id == "g0"
    assert settled.outcomes[-1].attempts == 3
    assert settled.outcomes[-2].elapsed < 1


def test_tries_are_counted_and_the_last_answer_stays() -> None:
    """After the allowed tries a target fails with its last answer."""
    service = Service(answer=lambda t, n: BUSY)
    [outcome] = settle(service, [("p", "g")], FREE, RetryPolicy(attempts=3)).outcomes
    assert (outcome.verdict, outcome.status_code, outcome.error_code) == (Verdict.TRANSIENT, 503, "APIGW.0203")
    assert outcome.attempts == 3 == service.came[Target("p", "g")]


def test_an_earlier_answer_is_kept_where_the_last_try_got_none() -> None:
    """The status of an outcome is its last answer's, and `None` only when none ever came."""
    service = Service(answer=lambda t, n: BUSY if n == 1 and t.server_group_id == "g0" else None)
    policy = RetryPolicy(attempts=2, timeout=1)
    by_group = {o.target.server_group_id: o for o in settle(service, fleet(1, 2), FREE, policy).outcomes}
    assert (by_group["g0"].verdict, by_group["g0"].status_code) == (Verdict.UNREACHABLE, 503)
    assert (by_group["g1"].verdict, by_group["g1"].status_code) == (Verdict.UNREACHABLE, None)


def test_gone_after_a_lost_answer_says_so() -> None:
    """A group whose first delete got no answer and that is missing then was probably done by it."""
    service = Service(answer=lambda t, n: None if n == 1 else Reply(Verdict.GONE, 404, message="not found"))
    [outcome] = settle(service, [("p", "g")], FREE, RetryPolicy(timeout=1)).outcomes
    assert outcome.verdict is Verdict.GONE
    assert "earlier try got no answer" in outcome.message


def test_total_time_counts_from_the_first_try() -> None:
    """A target that waits long for its turn still has its whole time once it is tried."""
    service = Service(answer=lambda t, n: BUSY if n == 1 else DELETED)
    settled = settle(service, fleet(1, 30), Limits("1/s", 1, None, None, None), RetryPolicy(total=20, base=0.01))
    assert settled.seconds > 40
    assert settled.verdicts() == {Verdict.DELETED: 30}


def test_a_target_out_of_time_fails_with_its_last_answer() -> None:
    """When the turn for its next try comes too late, a target is not sent again."""
    service = Service(answer=lambda t, n: BUSY if t.server_group_id == "g0" else DELETED)
    policy = RetryPolicy(attempts=99, total=3, base=0.5)
    outcome = next(o for o in settle(service, fleet(1, 2), FREE, policy).outcomes if o.target.server_group_id == "g0")
    assert (outcome.verdict, outcome.status_code) == (Verdict.TRANSIENT, 503)
    assert outcome.elapsed <= 3.1


# ---- 429


@pytest.mark.parametrize(
    ("scope", "waiting"), [("project", {"p0"}), ("user", {"p0", "p1"}), ("endpoint", {"p0", "p1"})]
)
def test_a_429_holds_the_scope_that_it_names(scope: str, waiting: set[str]) -> None:
    """After a 429 nothing of its scope starts until the wait is over, and everything else goes on."""
    refused = iter([throttled(scope, retry_after=7.0)])
    service = Service(answer=lambda t, n: next(refused, DELETED) if t.project_id == "p0" else DELETED)
    settled = settle(service, fleet(2, 10), Limits(None, 1, None, None, None))
    assert settled.verdicts() == {Verdict.DELETED: 20}
    for project, times in service.arrived.items():
        early = [at for at in times if 0.03 < at < 7.0]
        assert bool(early) == (project not in waiting)


def test_a_429_uses_up_no_try() -> None:
    """A target that was throttled more often than it has tries is deleted all the same."""
    service = Service(answer=lambda t, n: throttled(retry_after=1.0) if n <= 9 else DELETED)
    [outcome] = settle(service, [("p", "g")], FREE, RetryPolicy(attempts=2)).outcomes
    assert (outcome.verdict, outcome.attempts, outcome.throttled) == (Verdict.DELETED, 10, 9)


def test_a_target_without_time_for_the_wait_fails_at_once_as_throttled() -> None:
    """A Retry-After beyond the time that a target has left fails it now, and those behind it that were never tried."""
    service = Service(answer=lambda t, n: throttled(retry_after=500.0) if t.server_group_id == "g0" else DELETED)
    settled = settle(service, fleet(1, 3), Limits(None, 1, None, None, None), RetryPolicy(total=60))
    came = {(o.target.server_group_id, o.verdict, o.status_code, o.attempts) for o in settled.outcomes}
    assert came == {("g0", "throttled", 429, 1), ("g1", "throttled", None, 0), ("g2", "throttled", None, 0)}
    assert settled.seconds < 60


def test_targets_that_were_never_tried_wait_for_a_hold_that_ends_in_time() -> None:
    """A Retry-After that leaves time for it is waited for by all."""
    service = Service(
        answer=lambda t, n: DELETED if n > 1 or t.server_group_id != "g0" else throttled(retry_after=50.0)
    )
    settled = settle(service, fleet(1, 3), Limits(None, 1, None, None, None), RetryPolicy(total=60))
    assert settled.verdicts() == {Verdict.DELETED: 3}


def test_others_that_wait_for_another_try_fail_with_a_long_hold_too() -> None:
    """A hold longer than the time left of a target that waits for its next try fails that target at once."""
    answers = {"g0": BUSY, "g1": throttled(retry_after=100.0)}
    service = Service(answer=lambda t, n: answers.get(t.server_group_id, DELETED))
    settled = settle(service, fleet(1, 3), FREE, RetryPolicy(total=60, base=50, cap=50))
    failed = {o.target.server_group_id: o.verdict for o in settled.outcomes if o.verdict is not Verdict.DELETED}
    assert failed == {"g0": Verdict.THROTTLED, "g1": Verdict.THROTTLED}
    assert max(outcome.elapsed for outcome in settled.outcomes) < 1


def test_a_hold_is_shown() -> None:
    """While scopes wait after a 429, the run can say how many and how long."""
    seen: list[tuple[int, float]] = []

    async def look(engine: Engine) -> None:
        await anyio.sleep(1)
        seen.append(held(engine))
        await anyio.sleep(20)
        seen.append(held(engine))
        await anyio.sleep_forever()

    service = Service(answer=lambda t, n: throttled(retry_after=10.0) if n == 1 else DELETED, latency=0.5)
    settle(service, [*fleet(2, 1), *(("slow", f"g{n}") for n in range(30))], Limits("1/s", 1), during=look)
    assert seen[0][0] == 3
    assert seen[0][1] == pytest.approx(9.5, abs=0.1)


# ---- sign-in and permission


def test_a_refused_credential_stops_its_project_only() -> None:
    """After a 401 that cannot be mended the rest of the project is skipped, and other projects go on."""
    no = Reply(Verdict.UNAUTHORIZED, 401, "APIGW.0301", "wrong token", retryable=False)
    service = Service(answer=lambda t, n: no if t.project_id == "p0" else DELETED)
    settled = settle(service, fleet(2, 50), Limits(None, 4, None, None, None), read_ahead=20)
    assert len(service.arrived["p0"]) == 1
    verdicts = [outcome.verdict for outcome in settled.of("p0")]
    assert verdicts.count(Verdict.UNAUTHORIZED) == 1
    assert verdicts.count(Verdict.SKIPPED) == 49
    assert {outcome.verdict for outcome in settled.of("p1")} == {Verdict.DELETED}
    assert settled.engine.fleet.users[0].standing.signed_in
    assert settled.engine.fleet.users[0].standing.refused == "wrong token"


def test_a_renewable_credential_gets_one_more_try() -> None:
    """A 401 whose credential could be renewed is tried once more, and only once."""
    again = Reply(Verdict.UNAUTHORIZED, 401, message="expired")
    once = Service(answer=lambda t, n: again if n == 1 else DELETED)
    assert settle(once, fleet(1, 5), FREE).verdicts() == {Verdict.DELETED: 5}
    always = Service(answer=lambda t, n: again)
    settle(always, [("p", "g")], FREE)
    assert always.came[Target("p", "g")] == 2


def test_no_credential_to_be_had_counts_no_request() -> None:
    """When signing in fails, nothing was sent for the target."""
    service = Service(answer=lambda t, n: Reply(Verdict.UNAUTHORIZED, retryable=False, sent=False))
    [outcome] = settle(service, [("p", "g")], FREE).outcomes
    assert (outcome.verdict, outcome.attempts, outcome.status_code) == (Verdict.UNAUTHORIZED, 0, None)


def test_a_project_that_is_always_forbidden_is_stopped_after_five() -> None:
    """Five 403 and nothing else stop a project; one other answer shows that it may be called."""
    no = Reply(Verdict.FORBIDDEN, 403, "APIGW.0302", "not allowed")
    service = Service(answer=lambda t, n: no if t.project_id == "p0" or t.server_group_id != "g0" else DELETED)
    settled = settle(service, fleet(2, 20), Limits(None, 1, None, None, None))
    assert len(service.arrived["p0"]) == 5
    assert len(service.arrived["p1"]) == 20
    assert [outcome.verdict for outcome in settled.of("p0")].count(Verdict.SKIPPED) == 15


def test_what_was_tried_before_its_project_stopped_keeps_its_answer() -> None:
    """A target that waits for another try when its project is stopped failed; it was not skipped."""
    no = Reply(Verdict.UNAUTHORIZED, 401, message="no", retryable=False)
    service = Service(answer=lambda t, n: BUSY if t.server_group_id == "g0" else no)
    settled = settle(service, fleet(1, 2), Limits(None, 1, None, None, None), RetryPolicy(base=50, cap=50))
    assert {o.target.server_group_id: o.verdict for o in settled.outcomes} == {
        "g0": Verdict.TRANSIENT,
        "g1": Verdict.UNAUTHORIZED,
    }


# ---- reading


def test_a_flat_iterable_is_read_no_further_than_read_ahead() -> None:
    """A generator is read as its targets settle: never more than `read_ahead` are held."""
    read = 0

    def targets() -> Iterator[Target]:
        nonlocal read
        for number in range(500):
            read += 1
            yield Target("p", f"g{number}")

    settled_when_read: list[int] = []
    service = Service()

    def answer(target: Target, nth: int) -> Reply:
        settled_when_read.append(read - len(service.times))
        return DELETED

    service.answer = answer
    settle(service, targets(), Limits(None, 2, None, None, None), read_ahead=10)
    # One more than is held has been taken from the generator: the one that waits for room.
    assert max(settled_when_read) <= 11
    assert read == 500


def test_a_slow_source_delays_nothing() -> None:
    """What has been read is sent while the source still waits for its next item."""

    async def targets() -> AsyncIterator[tuple[str, str]]:
        for number in range(5):
            yield "p", f"g{number}"
            await anyio.sleep(100)

    service = Service()
    settled = settle(service, targets(), FREE)
    assert [round(at) for at in service.times] == [0, 100, 200, 300, 400]
    assert len(settled.outcomes) == 5


def test_an_error_of_the_source_stops_the_run_and_is_kept() -> None:
    """Requests on the wire are answered, the rest is unsettled, and the error waits for whoever asks."""

    def targets() -> Iterator[tuple[str, str]]:
        yield from fleet(1, 10)
        raise LookupError("the database went away")

    service = Service()
    settled = settle(service, targets(), Limits(None, 4, None, None, None))
    assert isinstance(settled.engine.error, LookupError)
    assert settled.verdicts() == {Verdict.UNSETTLED: 10}
    assert service.times == []


# ---- stopping


def test_stop_waits_for_answers_and_leaves_the_rest_unsettled() -> None:
    """Nothing starts after `stop`; what is on the wire is answered within the grace."""

    async def stop(engine: Engine) -> None:
        await anyio.sleep(1.5)
        engine.stop(grace=3)

    service = Service(latency=1.0)
    settled = settle(service, fleet(1, 40), Limits(None, 4, None, None, None), during=stop)
    assert len(service.times) == 5, "one, and then four beside each other"
    assert settled.verdicts() == {Verdict.DELETED: 5, Verdict.UNSETTLED: 35}
    assert settled.seconds == pytest.approx(2, abs=0.01)


def test_stop_gives_up_what_has_no_answer_within_the_grace() -> None:
    """A request that hangs is unsettled when the grace is over, with the request counted."""

    async def stop(engine: Engine) -> None:
        await anyio.sleep(1)
        engine.stop(grace=3)

    settled = settle(Service(answer=lambda t, n: None), fleet(1, 2), Limits(None, 1, None, None, None), during=stop)
    assert settled.seconds == pytest.approx(4, abs=0.01)
    assert sorted(outcome.attempts for outcome in settled.outcomes) == [0, 1]
    assert settled.verdicts() == {Verdict.UNSETTLED: 2}


def test_a_second_stop_ends_at_once() -> None:
    """Less grace may be given later; no more of it."""

    async def stop(engine: Engine) -> None:
        engine.stop(grace=30)
        await anyio.sleep(2)
        engine.stop(grace=0)
        engine.stop(grace=30)

    settled = settle(Service(answer=lambda t, n: None), fleet(1, 3), FREE, RetryPolicy(timeout=60), during=stop)
    assert settled.seconds <= 2.01


def test_a_try_that_fails_during_the_grace_is_not_repeated() -> None:
    """After `stop` a transient answer leaves its target unsettled, saying what the last try said."""

    async def stop(engine: Engine) -> None:
        await anyio.sleep(0.5)
        engine.stop(grace=3)

    settled = settle(Service(answer=lambda t, n: BUSY, latency=1), [("p", "g")], FREE, during=stop)
    [outcome] = settled.outcomes
    assert (outcome.verdict, outcome.attempts, outcome.status_code) == (Verdict.UNSETTLED, 1, None)
    assert "backend timeout" in outcome.message


async def test_cancelling_the_run_leaves_nothing_behind() -> None:
    """Cancelled in the middle, a run gives no grace, and every target it has read has one outcome."""
    outcomes: list[Outcome] = []

    async def hang(target: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
        await asyncio.sleep(3600)
        return DELETED

    engine, user = engine_of(hang, outcomes.append, Limits(None, 2, None, None, None))
    with anyio.move_on_after(0.05) as scope:
        await engine.run(sources(fleet(2, 5), 100, user))
    assert scope.cancelled_caught
    assert sorted(outcome.attempts for outcome in outcomes) == [0] * 8 + [1] * 2
    assert {outcome.verdict for outcome in outcomes} == {Verdict.UNSETTLED}
    assert len(asyncio.all_tasks()) == 1


# ---- a slow consumer


def test_a_paused_engine_reads_and_sends_nothing() -> None:
    """Between `pause` and `resume` no request starts and nothing is read."""
    read: list[float] = []

    async def targets() -> AsyncIterator[tuple[str, str]]:
        for number in range(40):
            read.append(anyio.current_time())
            yield "p", f"g{number}"
            await anyio.sleep(1)

    async def pause(engine: Engine) -> None:
        await anyio.sleep(10.5)
        engine.pause()
        await anyio.sleep(100)
        engine.resume()

    service = Service()
    settled = settle(service, targets(), Limits(None, 1, None, None, None), during=pause)
    assert len(settled.outcomes) == 40
    assert [at for at in service.times if 10.6 < at < 110] == []
    assert len([at for at in read if 10.6 < at < 110]) <= 1


def test_many_randomly_failing_targets_all_settle_within_their_limits() -> None:
    """Under every kind of trouble at once each target settles once, and no rate or cap is broken."""
    rng = Random(7)
    kinds = [
        DELETED, BUSY, throttled(), throttled(told=Rate(20, 2)), Reply(Verdict.CONFLICT, 409), None,
        Reply(Verdict.UNREACHABLE, message="reset"),
    ]  # fmt: skip
    service = Service(answer=lambda t, n: rng.choice(kinds) if rng.random() < 0.3 else DELETED)
    limits = Limits("20/s", 4, "90/s", "100/s", 16)
    settled = settle(service, fleet(20, 50), limits, RetryPolicy(attempts=20, timeout=2))
    assert settled.verdicts() == {Verdict.DELETED: 1000}
    assert max(most_in_window(times, 1) for times in service.arrived.values()) <= 20
    assert most_in_window(service.times, 1) <= 90
    assert service.most_in_flight.pop("all") <= 16
    assert max(service.most_in_flight.values()) <= 4
    assert settled.engine.settlement.open == 0


def test_a_bad_item_stops_the_run_with_its_number() -> None:
    """What would turn into another call is refused by name, with the number of the item."""
    settled = settle(Service(), [("p", "g"), ("p", "batch")], FREE)
    assert isinstance(settled.engine.error, ConfigError)
    assert str(settled.engine.error).startswith("target number 2: server_group_id 'batch' is refused")


@pytest.mark.parametrize(
    "limits",
    [Limits("2/5min", 8, None, None), Limits(None, 8, "2/5min", None), Limits(None, 8, None, "2/5min")],
)
def test_a_target_whose_turn_cannot_come_in_time_fails_as_soon_as_that_is_known(limits: Limits) -> None:
    """It waits for its second try when another one uses the last turn of five minutes: its minute cannot suffice."""
    busy = Reply(Verdict.TRANSIENT, 503, message="busy", retry_after=10.0)
    service = Service(answer=lambda t, n: busy if t.server_group_id == "g0" else DELETED)
    settled = settle(service, [("p", "g0"), ("p", "g1")], limits, RetryPolicy(total=60))
    [failed] = [outcome for outcome in settled.outcomes if outcome.verdict is Verdict.TRANSIENT]
    assert (failed.target.server_group_id, failed.attempts) == ("g0", 1)
    assert failed.elapsed < 1


# ---- bounds of what a server may ask for


@pytest.mark.parametrize("scope", ["project", "user", "endpoint"])
@pytest.mark.parametrize("told", [Rate(1, 86_400.0 * 999_999), Rate(1, 86_400.0), Rate(5, 7200.0), None])
def test_no_word_of_the_server_keeps_a_target_longer_than_its_time_and_a_hold(scope: str, told: Rate | None) -> None:
    """A limit of one in 999,999 days, or a Retry-After of a day: all are settled within their time and 15 minutes."""
    refusal = Reply(Verdict.THROTTLED, 429, scope=scope, told=told, retry_after=None if told else 86_400.0)
    service = Service(answer=lambda target, nth: refusal)
    settled = settle(service, fleet(3, 40), FREE)
    assert settled.verdicts() == {Verdict.THROTTLED: 120}
    assert settled.seconds < 600 + 900
    assert max(outcome.elapsed for outcome in settled.outcomes) < 600 + 900


def test_a_told_limit_that_takes_longer_than_a_target_has_fails_the_rest_once_it_is_used_up() -> None:
    """Ten are let in and then no more for two hours: the others fail within their time, and so do those read later."""
    seen = 0

    def answer(target: Target, nth: int) -> Reply:
        nonlocal seen
        seen += 1
        return DELETED if seen <= 10 else Reply(Verdict.THROTTLED, 429, scope="user", told=Rate(10, 7200.0))

    settled = settle(Service(answer=answer), fleet(2, 2000), FREE, read_ahead=500)
    assert settled.verdicts() == {Verdict.DELETED: 10, Verdict.THROTTLED: 3990}
    assert settled.seconds < 60


def test_holds_that_follow_each_other_keep_no_target_longer_than_its_time() -> None:
    """Each 429 asks for 30 s, and nothing is ever let in: those that were never tried count from the first of them."""
    service = Service(answer=lambda target, nth: Reply(Verdict.THROTTLED, 429, scope="user", retry_after=30.0))
    settled = settle(service, fleet(3, 50), FREE)
    assert settled.verdicts() == {Verdict.THROTTLED: 150}
    assert settled.seconds < 600 + 900


def test_holds_between_which_something_is_let_in_are_waited_for() -> None:
    """One is let in every 100 s: the last one of 20 waits for 2,000 s, and is deleted."""
    refusal = Reply(Verdict.THROTTLED, 429, retry_after=100.0)
    service = Service(answer=lambda target, nth: DELETED if len(service.calls) % 2 else refusal)
    settled = settle(service, fleet(1, 20), Limits(None, 1, None, None, None), RetryPolicy(total=1000.0))
    assert settled.verdicts() == {Verdict.DELETED: 20}


@pytest.mark.parametrize("limits", [Limits("1/h", 1, None, None, None), Limits(None, 1, "1/h", None, None)])
def test_the_users_own_limits_are_waited_for_as_long_as_it_takes(limits: Limits) -> None:
    """One per hour is what was asked for: no target is too late."""
    assert settle(Service(), fleet(1, 5), limits).verdicts() == {Verdict.DELETED: 5}


def test_a_told_limit_that_is_a_users_own_is_waited_for_too() -> None:
    """What a 429 only confirms is no word of the server's."""
    refusal = Reply(Verdict.THROTTLED, 429, scope="user", told=Rate(2, 3600.0))
    service = Service(answer=lambda target, nth: refusal if len(service.calls) == 1 else DELETED)
    settled = settle(service, fleet(1, 5), Limits(None, 1, "2/h", None, None), RetryPolicy(total=7200.0))
    assert settled.verdicts() == {Verdict.DELETED: 5}


def test_a_hold_that_was_over_before_they_came_keeps_no_target() -> None:
    """The first one fails by a long Retry-After; those that are read long after that wait out a short one."""

    async def later() -> AsyncIterator[tuple[str, str]]:
        yield "p0", "g0"
        await asyncio.sleep(70)
        for number in range(1, 10):
            yield "p0", f"g{number}"

    def answer(target: Target, nth: int) -> Reply:
        if target.server_group_id == "g0":
            return throttled(retry_after=65.0)
        return throttled(retry_after=1.0) if len(service.calls) == 2 else DELETED

    service = Service(answer=answer)
    settled = settle(service, later(), Limits(None, 1, None, None, None), RetryPolicy(total=60.0))
    assert settled.verdicts() == {Verdict.THROTTLED: 1, Verdict.DELETED: 9}


@pytest.mark.parametrize("scope", ["project", "user", "endpoint"])
def test_a_hold_of_a_run_that_was_cancelled_keeps_no_target_of_the_next(scope: str) -> None:
    """Twenty minutes later, in the same session, a short 429 is waited out."""
    outcomes = list[Outcome]()
    service = Service()

    async def main() -> None:
        service.answer = lambda target, nth: throttled(scope, retry_after=300.0)
        engine, user = engine_of(service.send, outcomes.append, Limits(None, 1, None, None, None))
        first = asyncio.create_task(engine.run(sources(fleet(1, 2), 10, user)))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.wait([first])
        outcomes.clear()
        await asyncio.sleep(1200)
        before = len(service.calls)
        service.answer = lambda t, n: throttled(scope, retry_after=5.0) if len(service.calls) == before + 1 else DELETED
        await Engine(engine.fleet, outcomes.append, RetryPolicy()).run(sources(fleet(1, 20), 100, user))

    run_virtual(main())
    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELETED] * 20


def test_own_limits_between_two_429s_are_no_hold() -> None:
    """One an hour is what was asked for: a short 429 an hour after the other is waited out by those behind it."""
    service = Service(answer=lambda t, n: throttled(retry_after=1.0) if len(service.calls) in (1, 3) else DELETED)
    settled = settle(service, fleet(1, 4), Limits("1/h", 1, None, None, None), RetryPolicy(total=8000.0))
    assert settled.verdicts() == {Verdict.DELETED: 4}


def test_429s_that_name_another_scope_each_time_are_one_hold() -> None:
    """Project, user, endpoint in turn, 590 s each: those that were never tried count from the first."""
    scopes = itertools.cycle(["project", "user", "endpoint"])
    settled = settle(Service(answer=lambda t, n: throttled(next(scopes), retry_after=590.0)), fleet(1, 50), FREE)
    assert settled.verdicts() == {Verdict.THROTTLED: 50}
    assert settled.seconds < 600 + 900


# ---- what was given up may be read later


class ReadingLate(Service):
    """Does not answer the first 60, and reads them as late as it may: a time-out after they were given up."""

    async def send(self, call: Call, timeout: float, /) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
        """Answer, or not."""
        if len(self.calls) >= 60:
            return await super().send(call, timeout)
        now, target = asyncio.get_running_loop().time(), self.target_of(call)
        self.calls.append((now, target))
        self.arrived[target.project_id].append(now + 2 * timeout)
        await asyncio.sleep(timeout)
        return Reply(Verdict.UNREACHABLE, message="no answer", timed_out=True, lost=True, elapsed=timeout)


@pytest.mark.parametrize(
    "limits",
    [Limits("60/s", 64, None, None), Limits(None, None, "60/s", None), Limits(None, None, None, "60/s")],
)
def test_a_request_that_was_given_up_counts_for_another_time_out(limits: Limits) -> None:
    """With a time-out of 1 s and a server that reads a request up to 1 s after that, no second has more than 60."""
    service = ReadingLate()
    settle(service, fleet(1, 300), limits, RetryPolicy(attempts=3, timeout=1.0))
    assert most_in_window(sorted(service.arrived["p0"]), 1.0 - 1e-5) <= 60


def test_a_limit_that_no_gateway_has_is_not_kept_to_for_ever() -> None:
    """One in 999,999 days holds for 15 minutes: what a session sends after that goes out."""
    answers = iter([throttled("user", told=Rate(1, 86_400.0 * 999_999))])
    service, outcomes = Service(answer=lambda target, nth: next(answers, DELETED)), list[Outcome]()

    async def main() -> None:
        engine, user = engine_of(service.send, outcomes.append, FREE)
        await engine.run(sources(fleet(1, 3), 10, user))
        await asyncio.sleep(901)
        again = Engine(engine.fleet, outcomes.append, RetryPolicy())
        await again.run(sources(fleet(1, 3), 10, user))

    run_virtual(main())
    assert [outcome.verdict for outcome in outcomes] == [Verdict.THROTTLED] * 3 + [Verdict.DELETED] * 3
