"""What follows from each reply, as the contract has it: another try, a hold, a stop, or the outcome."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.engine.decide import Again, Done, Hold, Stop, decide, delay_after, is_late, too_late
from sdrs_async.engine.intake import Budget
from sdrs_async.engine.lanes import Job
from sdrs_async.limits import RetryPolicy, backoff
from sdrs_async.models import Reply, Target, Verdict
from tests.support.engine_runs import FREE, user_of

POLICY = RetryPolicy(attempts=5, base=0.5, cap=30.0, total=600.0)
RETRIED = (Verdict.TRANSIENT, Verdict.UNREACHABLE, Verdict.CONFLICT)
SECONDS = st.floats(0.001, 10_000.0)
POLICIES = st.builds(RetryPolicy, attempts=st.integers(1, 10), base=SECONDS, cap=SECONDS, total=SECONDS)
REPLIES = st.builds(
    Reply,
    verdict=st.sampled_from(Verdict),
    retry_after=st.none() | st.floats(0, 1e9),
    retryable=st.booleans(),
)
RANDOMS = st.builds(Random, st.integers())


class Highest(Random):
    """Always the upper end of a range."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest(Random):
    """Always the lower end of a range."""

    def uniform(self, a: float, b: float) -> float:
        return a


def test_the_ceiling_of_the_wait_doubles_up_to_the_cap() -> None:
    """0.5, 1, 2, ... and never above 30 s, however many failures there were."""
    waits = [backoff(POLICY, attempt, Highest()) for attempt in (1, 2, 3, 6, 7, 8, 10**6)]
    assert waits == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0, 30.0]


def test_jitter_is_full() -> None:
    """A wait may be anything from nothing: tries that failed together do not come back together."""
    assert backoff(POLICY, 4, Lowest()) == 0.0
    waits = {backoff(POLICY, 4, Random(seed)) for seed in range(100)}
    assert len(waits) == 100
    assert min(waits) < 0.4
    assert max(waits) > 3.6


@given(POLICIES, st.integers(1, 2000), RANDOMS, st.sampled_from([1.0, 4.0]))
def test_a_wait_is_within_its_bounds(policy: RetryPolicy, attempt: int, rng: Random, factor: float) -> None:
    """Never negative, never above the cap, whatever the policy."""
    assert 0.0 <= backoff(policy, attempt, rng, factor) <= policy.cap


@given(POLICIES, REPLIES, st.integers(1, 12), st.floats(0, 20_000), RANDOMS)
def test_a_delay_keeps_the_policy(policy: RetryPolicy, reply: Reply, attempt: int, elapsed: float, rng: Random) -> None:
    """A further try is only for what can be mended, within attempts, cap and total time."""
    delay = delay_after(policy, reply, attempt, elapsed, rng)
    if delay is None:
        return
    assert reply.verdict in RETRIED
    assert reply.retryable
    assert attempt < policy.attempts
    assert 0.0 <= delay <= policy.cap
    assert elapsed + delay < policy.total


@pytest.mark.parametrize("verdict", RETRIED)
def test_a_passing_failure_is_tried_until_the_attempts_are_used_up(verdict: Verdict) -> None:
    """With five attempts the fifth failure is the last."""
    delays = [delay_after(POLICY, Reply(verdict), attempt, 0.0, Lowest()) for attempt in range(1, 7)]
    assert delays == [0.0, 0.0, 0.0, 0.0, None, None]


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict not in RETRIED])
def test_what_a_second_try_cannot_mend_is_final(verdict: Verdict) -> None:
    """Rejected, forbidden and their like get no second try; throttling and sign-in are decided elsewhere."""
    assert delay_after(POLICY, Reply(verdict), 1, 0.0, Lowest()) is None


def test_a_reply_that_says_so_is_final() -> None:
    """A bad certificate is unreachable, and stays so."""
    assert delay_after(POLICY, Reply(Verdict.UNREACHABLE, retryable=False), 1, 0.0, Lowest()) is None


def test_a_conflict_waits_longer() -> None:
    """A group that is busy gets four times the time of a passing failure, under the same cap."""
    conflict = [delay_after(POLICY, Reply(Verdict.CONFLICT), attempt, 0.0, Highest()) for attempt in (1, 2, 3, 4)]
    transient = [delay_after(POLICY, Reply(Verdict.TRANSIENT), attempt, 0.0, Highest()) for attempt in (1, 2, 3, 4)]
    assert conflict == [2.0, 4.0, 8.0, 16.0]
    assert transient == [0.5, 1.0, 2.0, 4.0]
    assert delay_after(replace(POLICY, cap=3.0), Reply(Verdict.CONFLICT), 3, 0.0, Highest()) == 3.0


def test_no_try_starts_after_the_total_time() -> None:
    """A wait that leaves no tenth of a try before the total time makes this reply the last."""
    reply = Reply(Verdict.TRANSIENT, retry_after=10.0)
    assert delay_after(POLICY, reply, 1, 586.9, Random()) == 10.0
    assert delay_after(POLICY, reply, 1, 587.0, Random()) is None


@pytest.mark.parametrize("verdict", RETRIED)
def test_retry_after_is_honoured_and_capped(verdict: Verdict) -> None:
    """The server's wish replaces the back-off, to the second, up to the cap."""
    assert delay_after(POLICY, Reply(verdict, retry_after=7.0), 1, 0.0, Highest()) == 7.0
    assert delay_after(POLICY, Reply(verdict, retry_after=3600.0), 1, 0.0, Highest()) == 30.0


def test_retry_after_that_names_no_time_leaves_the_back_off() -> None:
    """Zero, or a date that is past by this clock, does not make five tries in a row without a pause."""
    assert delay_after(POLICY, Reply(Verdict.TRANSIENT, retry_after=0.0), 3, 0.0, Highest()) == 2.0


# ---- what follows from a reply

NOW = 100.0


def tried(*, one_key: bool = False, tries: int = 1) -> Job:
    """A job that has been sent so often, for the first time ten seconds ago."""
    fleet, user = user_of(FREE, one_key=one_key)
    job = Job(Target("p", "g"), fleet.lane("p", user), Budget(9), sent=tries, first_try=NOW - 10)
    job.given_at = NOW - 1
    return job


def decided(reply: Reply, job: Job, policy: RetryPolicy = POLICY) -> Again | Hold | Stop | Done:
    """What follows once the reply has been told to the project of the job."""
    job.lane.note(job, reply, NOW)
    return decide(reply, job, policy, NOW, Highest())


@pytest.mark.parametrize(
    ("verdict", "status", "then"),
    [
        (Verdict.DELETED, 204, Done),
        (Verdict.READ, 200, Done),
        (Verdict.GONE, 404, Done),
        (Verdict.REJECTED, 400, Done),
        (Verdict.UNAUTHORIZED, 401, Again(NOW, renewed=True)),
        (Verdict.FORBIDDEN, 403, Done),
        (Verdict.CONFLICT, 409, Again(NOW + 2.0)),
        (Verdict.THROTTLED, 429, Hold("project")),
        (Verdict.TRANSIENT, 503, Again(NOW + 0.5)),
        (Verdict.UNREACHABLE, None, Again(NOW + 0.5)),
    ],
)
def test_each_verdict_has_its_consequence(
    verdict: Verdict, status: int | None, then: Again | Hold | type[Done]
) -> None:
    """The table of the contract, for the first reply to a target."""
    what = decided(Reply(verdict, status, message="so"), tried())
    assert (what[:2] == (verdict, "so")) if then is Done else (what == then)


@pytest.mark.parametrize("verdict", [Verdict.CONFLICT, Verdict.TRANSIENT, Verdict.UNREACHABLE])
def test_the_last_try_settles_a_target_by_its_verdict(verdict: Verdict) -> None:
    """Five tries were allowed, and this was the fifth."""
    assert decided(Reply(verdict, message="still so"), tried(tries=5))[:2] == (verdict, "still so")


def test_what_cannot_be_mended_is_not_tried_again() -> None:
    """An error of a certificate is unreachable, and is so at once."""
    reply = Reply(Verdict.UNREACHABLE, message="certificate", retryable=False)
    assert decided(reply, tried()) == Done(Verdict.UNREACHABLE, "certificate", reply)


@pytest.mark.parametrize("scope", ["project", "user", "endpoint", "sign-in"])
def test_a_429_holds_the_scope_that_it_names_and_uses_up_no_try(scope: str) -> None:
    """However often it comes: what it takes is the time of the target alone."""
    job = tried(tries=5)
    assert decided(Reply(Verdict.THROTTLED, 429, scope=scope), job) == Hold(scope)
    assert job.tries == 4


@pytest.mark.parametrize(
    ("one_key", "whole", "code", "everywhere"),
    [
        (False, False, None, False),
        (False, True, None, True),
        (True, False, "APIGW.0301", True),
        (True, False, "SDRS.0014", False),
    ],
)
def test_a_second_refusal_stops_the_project_or_the_account(
    one_key: bool, whole: bool, code: str | None, everywhere: bool
) -> None:
    """A token may be wrong for one project; a key, which few refusals lock, is for all, unless SDRS refuses it."""
    job = tried(one_key=one_key)
    reply = Reply(Verdict.UNAUTHORIZED, 401, code, "no", whole_account=whole)
    assert decided(reply, job) == Again(NOW, renewed=True)
    job.renewed = True
    what = decided(reply, job)
    assert isinstance(what, Stop)
    assert (what.done, what.whole_account) == (Done(Verdict.UNAUTHORIZED, "no", reply), everywhere)
    assert what.reason.startswith("not sent: the credential")


@pytest.mark.parametrize("before", [None, Verdict.DELETED, Verdict.THROTTLED])
def test_a_project_is_stopped_by_its_fifth_forbidden_where_it_answered_nothing_else(before: Verdict | None) -> None:
    """Four may be of single groups; and so may five, where one was deleted."""
    job, forbidden = tried(), Reply(Verdict.FORBIDDEN, 403, message="no right")
    if before is not None:
        decided(Reply(before, 200), job)
    kinds = [type(decided(forbidden, job)) for _ in range(5)]
    assert kinds == [Done] * 4 + [Stop if before is None else Done]


def test_what_is_gone_after_a_try_without_an_answer_was_probably_deleted_by_that() -> None:
    """Its message says so."""
    job = tried()
    decided(Reply(Verdict.UNREACHABLE, lost=True, timed_out=True), job)
    what = decided(Reply(Verdict.GONE, 404, message="not found"), job)
    assert isinstance(what, Done)
    assert what.verdict is Verdict.GONE
    assert "had probably done the work" in what.message


# ---- too late


def test_a_target_is_late_from_a_tenth_of_a_try_before_its_total_time_on() -> None:
    """600 seconds from its first try, less 3; one that was never tried is not late."""
    job, start = tried(), NOW - 10 + 597
    assert not is_late(job, start, POLICY)
    decided(Reply(Verdict.TRANSIENT, 503), job)
    assert [is_late(job, at, POLICY) for at in (start - 0.1, start)] == [False, True]


def test_a_late_target_is_throttled_where_a_429_is_what_it_waits_for() -> None:
    """Else its last reply is final."""
    job, reply = tried(), Reply(Verdict.TRANSIENT, 503, message="busy")
    decided(reply, job)
    assert too_late(job, NOW, POLICY) == Done(Verdict.TRANSIENT, "busy", reply)
    job.lane.user.gate.hold(NOW + 590)
    what = too_late(job, NOW, POLICY)
    assert what[:2] == (
        Verdict.THROTTLED, "throttled: the wait of 590 s is longer than the time left for this target"
    )  # fmt: skip


def test_a_late_target_whose_last_reply_refused_the_credential_stops_its_project() -> None:
    """There is no time for another try with a new one."""
    job = tried()
    decided(Reply(Verdict.UNAUTHORIZED, 401, message="expired"), job)
    assert isinstance(too_late(job, NOW, POLICY), Stop)
