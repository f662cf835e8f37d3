"""Who is signed in: of a project until when, of a user which of its projects wait for it and how it has gone so far."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

from sdrs_async.auth import SignInCounts
from sdrs_async.limits import RetryPolicy, backoff
from sdrs_async.models import Reply
from sdrs_async.pace.learning import MAX_HOLD

if TYPE_CHECKING:
    from sdrs_async.engine.lanes import Lane

SignIn = Callable[[str, float], Awaitable[float | Reply]]
"""Signs in to a project within so many seconds: the seconds for which that is good, or what went wrong."""

# Seconds without a sign-in, after a hold, after which a 429 has nothing to do with it.
_LULL = 10.0
# Sign-ins of one user at a time: IAM is throttled too.
_AT_ONCE = 4
# Seconds for which any sign-in is used, so that one that is over at once cannot turn into an endless row of them.
_LEAST = 1.0


class Access:
    """Whether a project is signed in to: from `since` until `until`, by the loop's time.

    `retry_at`: when to sign in again after that has failed.
    """

    __slots__ = ("retry_at", "since", "until")

    def __init__(self, until: float) -> None:
        self.since, self.until = -math.inf, until
        self.retry_at = 0.0

    def signed(self, now: float, seconds: float) -> None:
        """A sign-in went well, and is good for so many seconds."""
        self.since, self.until = now, now + max(seconds, _LEAST)

    def refused(self, now: float, sent_at: float) -> None:
        """A request sent at `sent_at` was refused: sign in anew, unless that has been done since."""
        if -math.inf < self.since <= sent_at:
            self.until = min(self.until, now)

    def put_off(self, due: float) -> None:
        """A sign-in has failed, and is tried again at `due`."""
        self.retry_at = max(self.retry_at, due)


def hold_after(policy: RetryPolicy, reply: Reply, refusals: int, rng: Random) -> float:
    """Seconds for which a 429 of IAM, one of `refusals` in a row, holds sign-ins: its `Retry-After`, or back-off."""
    if reply.retry_after:  # at 0 it would be sent again at once, and throttled tries have no limit but the time
        return min(reply.retry_after, MAX_HOLD)
    return max(min(policy.base, policy.cap) / 2, backoff(policy, refusals, rng))


class SignInBook:
    """The sign-ins of one user. `sign_in` is `None` where nobody has to sign in; `counts`: theirs, where there are any.

    `waiting`: lanes whose sign-in has not begun; `under_way`: how many tasks sign in. A 429 of IAM holds all of them:
    `held_until`, by the loop's time; `held_since`: when the first of those 429s came since which no sign-in went well,
    else `inf`; `refusal`: the last of them.
    """

    __slots__ = (
        "_refusals", "_silent_since", "_succeeded", "counts", "held_since", "held_until", "refusal", "sign_in",
        "under_way", "waiting",
    )  # fmt: skip

    def __init__(self, sign_in: SignIn | None, counts: SignInCounts | None) -> None:
        self.sign_in = sign_in
        self.counts = counts
        self.held_until, self.held_since = 0.0, math.inf
        self.refusal: Reply | None = None
        self._refusals = 0
        self.waiting: deque[Lane] = deque()
        self.under_way = 0
        self._succeeded = False
        self._silent_since = math.inf

    def begin(self) -> bool:
        """Whether one more task may sign in, which is counted then."""
        if may := self.under_way < _AT_ONCE:
            self.under_way += 1
        return may

    def end(self) -> None:
        """Such a task has ended."""
        self.under_way -= 1

    def succeed(self) -> None:
        """A sign-in went well, which ends the row of refusals."""
        self._succeeded = True
        self._refusals, self.held_since = 0, math.inf

    def refuse(self, reply: Reply, now: float, policy: RetryPolicy, rng: Random) -> bool:
        """A 429 came; whether it holds them for longer than was known. Those of one hold belong to one cause."""
        self.refusal = reply
        if now >= self.held_until or not self._refusals:
            self._refusals += 1
        self.held_since = now if now > self.held_until + _LULL else min(self.held_since, now)
        until = now + hold_after(policy, reply, self._refusals, rng)
        if longer := until > self.held_until:
            self.held_until = until
        return longer

    def fail(self, now: float, elapsed: float) -> float:
        """A sign-in failed after so many seconds; return for how long none went well, 0 if ever one did."""
        self._silent_since = min(self._silent_since, now - elapsed)
        return 0.0 if self._succeeded else now - self._silent_since
