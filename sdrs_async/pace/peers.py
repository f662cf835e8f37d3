"""What scopes that are alike learn of each other. Pure arithmetic: every time is handed in."""

from __future__ import annotations

import math

from sdrs_async.pace.estimate import Estimate

_NEVER = -math.inf
# Seconds: refusals of several scopes that have one cause; who leads has nothing more to send; between two tries.
_TOGETHER, _SILENT, _BETWEEN = 1.0, 5.0, 10.0
# A great rise, and so many of those that follow it refused within so many seconds: it was somebody else's share.
_GREAT, _DOUBTS, _SOON = 1.3, 3, 5.0


class Peers:
    """What the scopes that are alike, such as the projects of one user, learn of each other.

    The first scope that is refused without being told a limit leads: the others follow its `estimate` until they are
    refused themselves. `version` changes with what is to be followed; scopes that follow start nothing before `opens`.
    `heeded`: when the last refusal became known to all; `seen`: when the leading scope last had an answer;
    `shared`: what one scope was allowed all together are not, so that the limit is one that they have in common.
    """

    __slots__ = (
        "_doubts", "_fork", "_highest", "_members", "_probe_at", "_rose_at", "estimate", "heeded", "opens", "seen",
        "shared", "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.estimate: Estimate | None = None
        self.version = self._members = 0
        self.opens = self.heeded = self.seen = self._probe_at = _NEVER
        self._fork: Estimate | None = None
        self._highest, self._rose_at = 0.0, _NEVER
        self._doubts: set[object] = set()
        self.shared = False

    def join(self) -> bool:
        """One more scope is like the others; true if it is the first."""
        self._members += 1
        return self._members == 1

    def refused(self, estimate: Estimate, now: float, opens: float) -> None:
        """The estimate of one of them was wrong, all wait until its trial is over: they may be next."""
        if self.estimate is None or self.estimate is estimate:
            self.estimate, self.seen = estimate, now
        elif now > self.heeded + _TOGETHER:
            self._fork = estimate
        self.heeded, self.opens, self.version = now, opens, self.version + 1

    def refused_as_well(self, now: float) -> None:
        """One that follows was refused by the same cause: it is the common limit that has fallen."""
        if self._fork is not None and now <= self.heeded + _TOGETHER:
            self.estimate, self._fork, self.seen, self.version = self._fork, None, now, self.version + 1

    def accepted(self, now: float, *, changed: bool) -> None:
        """The one they follow was told of an answer, and may have changed by that."""
        self.seen, self.version = now, self.version + changed
        # While a window is measured its level is no claim yet.
        if changed and self.estimate is not None and self.estimate.proven:
            rate = self.estimate.followed
            pace, highest = rate.count / rate.per, self._highest or math.inf
            # Back to where it was before a cut it may rise by mistake: what counts is more than ever before.
            if pace > _GREAT * highest:
                self._rose_at, self._doubts = now, set()
            elif pace < self._highest:
                self._rose_at = _NEVER
            self._highest = max(self._highest, pace)

    def doubt(self, follower: object, now: float, sent_at: float) -> None:
        """One that follows was refused a request sent at `sent_at`, which the one that rose has shown to be allowed."""
        if not self.shared and self._rose_at <= sent_at and now <= self._rose_at + _SOON:
            self._doubts.add(follower)
            self.shared = len(self._doubts) >= _DOUBTS

    def inherit(self, now: float) -> Estimate | None:
        """An estimate for one that follows to lead with, where the one before has nothing more to send."""
        if self.estimate is None or now < max(self.seen, self.opens) + _SILENT:
            return None
        self.estimate, self.seen = self.estimate.fork(now), now
        return self.estimate

    def may_probe(self, now: float) -> bool:
        """Whether one of them may try more: one at a time, and not within 10 s of the last."""
        if may := now >= self._probe_at:
            self._probe_at = now + _BETWEEN
        return may
