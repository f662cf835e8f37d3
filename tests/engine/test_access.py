"""How long sign-ins wait after a 429 of IAM, with a random source that is handed in."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.engine.access import hold_after
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Reply, Verdict
from sdrs_async.pace.learning import MAX_HOLD

POLICY = RetryPolicy(attempts=5, base=0.5, cap=30.0, total=600.0)
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
