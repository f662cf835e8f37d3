"""What a reply means for its target and for those beside it: pure decisions, with the random source handed in."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from sdrs_async.engine.lanes import Job, Lane
from sdrs_async.limits import RetryPolicy, backoff
from sdrs_async.models import Reply, Verdict

_BASE_FACTOR = {Verdict.TRANSIENT: 1.0, Verdict.UNREACHABLE: 1.0, Verdict.CONFLICT: 4.0}
_FORBIDDEN_STOP = 5
_LOST = "nothing left to delete: an earlier try got no answer and had probably done the work"


class Again(NamedTuple):
    """The target is tried again at `due`; `renewed`: with a second credential."""

    due: float
    renewed: bool = False


class Hold(NamedTuple):
    """The scope that a 429 names waits as a whole, and the target behind it."""

    scope: str


class Done(NamedTuple):
    """The target is settled. `reply`: tells the error code where no answer of the service to it does."""

    verdict: Verdict
    message: str
    reply: Reply | None = None


class Stop(NamedTuple):
    """The target is `done`, and nothing more is sent for its project, or for its `whole_account`."""

    done: Done
    reason: str
    whole_account: bool = False


def decide(reply: Reply, job: Job, policy: RetryPolicy, now: float, rng: Random) -> Again | Hold | Stop | Done:
    """What follows from a reply to a job that has been told to its project, its user and their scopes already."""
    verdict = reply.verdict
    if verdict is Verdict.DELETED:
        return Done(verdict, reply.message)
    if verdict is Verdict.THROTTLED:
        return Hold(reply.scope)
    if verdict is Verdict.UNAUTHORIZED and reply.retryable and not job.renewed:
        return Again(now, renewed=True)
    delay = delay_after(policy, reply, job.tries, now - job.first_try, rng)
    return final(reply, job) if delay is None else Again(now + delay)


def final(reply: Reply, job: Job) -> Stop | Done:
    """What a reply means to a job that is not tried again."""
    done, lane = result(reply, job), job.lane
    if reply.verdict is Verdict.UNAUTHORIZED:
        if lane.user.is_refused_by(reply):
            return Stop(done, f"not sent: the credential of {lane.user.called} was refused ({reply.message})", True)
        return Stop(done, f"not sent: the credential was refused for this project ({reply.message})")
    record = lane.record
    if reply.verdict is Verdict.FORBIDDEN and record.forbidden >= _FORBIDDEN_STOP and not record.accepted:
        return Stop(done, f"not sent: {record.forbidden} answers of this project were all forbidden")
    return done


def result(reply: Reply, job: Job) -> Done:
    """The outcome of a job whose last reply this is."""
    lost = job.lost and reply.verdict is Verdict.GONE
    return Done(reply.verdict, _LOST if lost else reply.message, reply)


# ---- when


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
    return delay if elapsed + delay < _last_start(policy) else None


# ---- too late


def _last_start(policy: RetryPolicy) -> float:
    """Seconds after a target's first try until which it may be sent again.

    A tenth of a try's time before its total: a try with only moments left would hide the last answer behind a time-out.
    """
    return policy.total - min(policy.timeout, policy.total) / 10


def is_late(job: Job, start: float, policy: RetryPolicy) -> bool:
    """Whether the total time of a job that was tried before does not last until `start`."""
    return job.last is not None and start >= job.first_try + _last_start(policy)


def too_late(job: Job, now: float, policy: RetryPolicy) -> Stop | Done:
    """What becomes of such a job: throttled where a 429 is what it would wait for, else its last reply is final."""
    wait = job.lane.held_until() - now
    if job.last is None or is_late(job, now + wait, policy):
        message = f"throttled: the wait of {wait:.0f} s is longer than the time left for this target"
        return Done(Verdict.THROTTLED, message, job.last)
    return final(job.last, job)


def shut_out(lane: Lane, now: float, policy: RetryPolicy) -> Done | None:
    """What becomes of those that were never tried where the server's word keeps them longer than a target's total time.

    Their time counts from the moment at which that began. The user's own limits are waited for as long as it takes.
    """
    until, since = lane.held(now)
    if until <= now or until < since + _last_start(policy):
        return None
    sign_ins = lane.user.sign_ins
    of_iam = sign_ins.refusal if lane.access.until <= now and sign_ins.held_until >= until else None
    what = "nothing more is let in" if of_iam is None else "IAM lets nobody sign in"
    message = f"throttled, not sent: {what} for {until - now:.0f} s, longer than its time"
    return Done(Verdict.THROTTLED, message, of_iam)
