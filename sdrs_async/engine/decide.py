"""Whether a target is tried again, and when: pure decisions, with the random source handed in."""

from __future__ import annotations

from random import Random

from sdrs_async.limits import RetryPolicy, backoff
from sdrs_async.models import Reply, Verdict
from sdrs_async.pace.meter import MAX_HOLD

__all__ = ["delay_after", "hold_after", "last_start"]


_BASE_FACTOR = {Verdict.TRANSIENT: 1.0, Verdict.UNREACHABLE: 1.0, Verdict.CONFLICT: 4.0}


def last_start(policy: RetryPolicy) -> float:
    """Seconds after a target's first try until which it may be sent again.

    A tenth of a try's time before its total: a try with only moments left would hide the last answer behind a time-out.
    """
    return policy.total - min(policy.timeout, policy.total) / 10


def delay_after(policy: RetryPolicy, reply: Reply, attempt: int, elapsed: float, rng: Random) -> float | None:
    """Seconds until the next try of a target, or `None` when this reply is its last.

    `attempt` counts its tries so far without throttled ones, `elapsed` the seconds since its first try. Throttled and
    unauthorized replies are decided elsewhere: by the hold of their scope, and by the credential.
    """
    factor = _BASE_FACTOR.get(reply.verdict)
    if factor is None or not reply.retryable or attempt >= policy.attempts:
        return None
    # A Retry-After of 0, or of a date that is past by this machine's clock, names no time.
    delay = min(reply.retry_after, policy.cap) if reply.retry_after else backoff(policy, attempt, rng, factor)
    return delay if elapsed + delay < last_start(policy) else None


def hold_after(policy: RetryPolicy, reply: Reply, refusals: int, rng: Random) -> float:
    """Seconds for which a 429 of IAM holds the sign-ins of an account; `refusals` counts those in a row, from 1.

    `Retry-After` wins; without it, back-off.
    """
    if reply.retry_after:  # at 0 it would be sent again at once, and throttled tries have no limit but the time
        return min(reply.retry_after, MAX_HOLD)
    return max(min(policy.base, policy.cap) / 2, backoff(policy, refusals, rng))
