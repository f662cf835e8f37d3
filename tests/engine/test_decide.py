"""Whether and when a target is tried again, with a random source that is handed in."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.engine.decide import delay_after, hold_after
from sdrs_async.limits import RetryPolicy, backoff
from sdrs_async.models import Reply, Verdict
from sdrs_async.pace.meter import MAX_HOLD

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


def test_a_hold_takes_retry_after_up_to_a_quarter_of_an_hour() -> None:
    """For a scope the server's wish counts beyond the cap of one target, but not for ever."""
    throttled = Reply(Verdict.THROTTLED, status_code=429)
    assert hold_after(POLICY, replace(throttled, retry_after=120.0), 1, Highest()) == 120.0
    assert hold_after(POLICY, replace(throttled, retry_after=7200.0), 1, Highest()) == MAX_HOLD == 900.0


def test_a_hold_without_a_hint_grows_with_the_refusals() -> None:
    """The ceiling doubles up to the cap; below half the base it would be no hold at all."""
    reply = Reply(Verdict.THROTTLED)
    assert [hold_after(POLICY, reply, refusals, Highest()) for refusals in (1, 2, 3, 8)] == [0.5, 1.0, 2.0, 30.0]
    assert [hold_after(POLICY, reply, refusals, Lowest()) for refusals in (1, 8)] == [0.25, 0.25]


def test_a_hint_that_names_no_time_leaves_the_back_off_of_a_hold() -> None:
    """Retry-After 0, or a date that is past by this clock: waiting for that would send in a loop."""
    assert hold_after(POLICY, Reply(Verdict.THROTTLED, retry_after=0.0), 3, Highest()) == 2.0


@given(POLICIES, REPLIES, st.integers(1, 2000), RANDOMS)
def test_a_hold_is_never_nothing_and_never_endless(
    policy: RetryPolicy, reply: Reply, refusals: int, rng: Random
) -> None:
    """Throttled tries are limited by time alone: a hold of nothing would send them in a row."""
    hold = hold_after(policy, reply, refusals, rng)
    assert 0.0 < hold <= max(MAX_HOLD, policy.cap)
    if not reply.retry_after:
        assert hold <= policy.cap
