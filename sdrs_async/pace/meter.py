"""When the next request of a scope may start: under what was configured, what the server told, what it seems to allow.

Nothing here reads a clock, waits or draws randomness; all times are the event loop's and are handed in.
"""

from __future__ import annotations

import math

from sdrs_async.limits import Rate
from sdrs_async.pace.estimate import Estimate
from sdrs_async.pace.peers import Peers
from sdrs_async.pace.windows import LONGEST_SPREAD, UNLIMITED, Window, promises, quicker, spread_out

__all__ = ["MAX_HOLD", "Gate"]

MAX_HOLD = 900.0
"""Longest wait in seconds that a 429 may impose on a scope, whatever its `Retry-After` says."""

# asyncio wakes up to a millisecond late: a start cannot be placed more finely than this, so it may come as much early.
_LATENESS = 0.002
# A limit that was found by trying is spread more evenly than one that is known: it may be of another kind.
_A_LITTLE_QUICKER = 1.02
# Seconds without a request after which a scope begins anew; by which those that follow are late in their first window.
_LULL, _LAG = 10.0, 0.12
# Requests that a scope has to have had let in, before what it is refused tells the others something.
_TELLING = 3
# So many 429s in so many seconds are waited out as they say, and no reason to look for a limit.
_ENOUGH, _MINUTE = 3, 60.0
# Seconds: the longest wait for another trial, which goes alone.
_MAX_WAIT = 30.0
# A text may name any number: what others have used is not worth more memory than this, nor limits more windows.
_MOST_OTHERS, _MOST_TOLD = 10_000, 4
# Seconds: nobody waits for a longer window to open, and what names one may be nonsense.
_LONGEST_TOLD = 86_400.0


class Gate:
    """One scope (a project, the user, the endpoint): its windows, the even spread inside them, the hold after a 429.

    Decides without waiting: `due` tells when, `enter` takes, `leave` gives back. `peers`: the gates of like scopes, of
    which it learns and which learn of it. `held_until`: nothing starts before, because of a 429; `held_since`: when the
    first of the 429s came since which nothing was let in, `inf` where that is not so.
    """

    __slots__ = (
        "_accepted", "_answered", "_began", "_behind", "_dripped", "_entered", "_estimate", "_found", "_free",
        "_heeded", "_hinted_at", "_hints", "_left", "_pause", "_peers", "_promised", "_rate", "_refused", "_told",
        "_told_at", "_trial_at", "_version", "_windows", "held_since", "held_until",
    )  # fmt: skip

    def __init__(self, rate: Rate | None, *, peers: Peers | None = None) -> None:
        self._rate = rate
        self._promised = promises(rate)
        self._peers = peers
        self._behind = 0
        if peers is not None:
            peers.members += 1
            if rate is not None and peers.members > 1:
                # Of those that are alike one runs ahead: where it is refused, the others hear of it in time, since
                # they stay behind by what their first window takes longer.
                self._behind = rate.count
        self._version = self._hints = 0
        self._windows = tuple(map(Window, self._promised))
        if rate is None and peers is None:
            # What many share may be told a limit: then it has to be known what has come.
            self._windows = (Window(None, remembers=LONGEST_SPREAD),)
        self._told: tuple[Rate, ...] = ()
        self._told_at = self._hinted_at = -math.inf
        self._estimate: Estimate | None = None
        self._found: Window | None = None
        self._trial_at, self._heeded = math.inf, -math.inf
        self._refused: list[float] | None = None
        # What it takes to know the past without a window that remembers it: how many, and since when.
        self._entered = self._answered = self._accepted = 0
        self._began = self._left = -math.inf
        self.held_since, self.held_until, self._free = math.inf, 0.0, 0.0
        # The even spread is a bucket that drips: seconds for each start, and when all of them will have dripped out.
        self._pause = self._dripped = 0.0
        self._pace(even=True)

    @property
    def learned(self) -> tuple[Rate, bool] | None:
        """The rate in force that the server showed, and whether it told it; `None` if it showed none."""
        estimate = self._estimate
        if estimate is None and self._peers is not None and self._found is not None:
            estimate = self._peers.estimate
        if estimate is not None and estimate.known is not None:
            return estimate.known, False
        if self._told:
            return min(self._told, key=lambda rate: rate.count / rate.per), True
        return None

    @property
    def follows(self) -> bool:
        """Whether it keeps to what another has found."""
        return self._estimate is None and self._peers is not None and self._peers.estimate is not None

    def due(self) -> float:
        """Earliest time for the next start: in the past if at once, `inf` if only an answer can tell."""
        peers = self._peers
        if peers is not None and peers.version != self._version:
            self._follow(peers)
        due = self._free
        paced = self._dripped - _LATENESS
        due = paced if paced > due else due
        return self.held_until if self.held_until > due else due

    def enter(self, now: float) -> None:
        """Start one request that is due."""
        if self._entered == self._answered and now > self._left + _LULL:
            self._began, self._entered, self._answered, self._accepted = now, 0, 0, 0
        self._entered += 1
        for window in self._windows:
            if (due := window.enter()) > self._free:
                self._free = due
        dripped = self._dripped
        self._dripped = (dripped if dripped > now else now) + self._pause
        if self._estimate is not None and self._estimate.trial:
            # It goes alone: until it is answered nothing else starts.
            self._trial_at, self._dripped = now, math.inf

    def leave(self, now: float, late: float = 0.0) -> None:
        """One request was answered, or given up: then the server may count it until `late` seconds from now.

        After `accept` or `refuse` of the same request.
        """
        self._answered += 1
        if self._answered == self._behind:
            self._pace(even=self._estimate is None or self._estimate.even)
        self._left = now
        free = 0.0
        for window in self._windows:
            window.leave(now, late)
            free = window.due if window.due > free else free
        self._free = free
        if self._dripped == math.inf and self._entered == self._answered:
            self._dripped = 0.0

    def hold(self, until: float) -> None:
        """Start nothing before `until`; a shorter hold never cuts a longer one."""
        self.held_until = max(self.held_until, until)

    def accept(self, now: float, sent_at: float) -> None:
        """A request sent at `sent_at` was answered with something else than a 429 of this scope."""
        self._accepted += 1
        if sent_at > self._heeded:
            self.held_since = math.inf
        if self._estimate is not None or (self._peers is not None and self._peers.estimate is not None):
            self._adapt(now, sent_at)

    def _adapt(self, now: float, sent_at: float) -> None:
        """Tell the estimate of an answer that was no 429; one that follows another may get one of its own."""
        estimate, peers = self._estimate, self._peers
        if estimate is None and peers is not None:
            estimate = self._estimate = peers.inherit(now)
        if estimate is None:
            return
        trial = estimate.trial and sent_at >= self._trial_at
        if estimate.trial and not trial:
            changed = estimate.accept_late()
        else:
            may = peers is None or not estimate.wants_more(now) or peers.may_probe(now)
            changed = estimate.accept(now, probe=may)
        if changed:
            self._keep(now, estimate.rate, even=estimate.even)
        if trial:
            self._dripped = 0.0
        if peers is not None and peers.estimate is estimate:
            peers.accepted(now, changed=trial or (changed and not estimate.growing))

    def refuse(self, now: float, sent_at: float, told: Rate | None, retry_after: float | None) -> float:
        """A request sent at `sent_at` got a 429 of this scope: adapt to it, hold, and return until when.

        `told`: the limit that it names; `retry_after`: the seconds, which win. One that was sent before the last 429
        was heeded is of the same cause, and changes nothing more.
        """
        self._refused = [at for at in self._refused or () if at > now - LONGEST_SPREAD] + [now]
        peers = self._peers if self._estimate is None else None
        if sent_at <= self._heeded or (peers is not None and sent_at <= peers.heeded):
            if self._estimate is not None:
                self._estimate.refuse_late(now)
            elif peers is not None:
                peers.refused_as_well(now)
            return self.held_until
        # Nobody has asked for a while after the last hold: it was not that which those that wait were kept by.
        self.held_since = now if sent_at > self.held_until + _LULL else min(self.held_since, now)
        self._heeded = now
        if told is not None and told.per > _LONGEST_TOLD:
            until = now + MAX_HOLD
        elif told is not None and told not in self._told:
            until = self._recalibrate(now, told)
        elif told is not None and now < self._told_at + 2 * told.per:
            until = self._wait_out(now, told)
        elif retry_after and self._takes_its_word(now):
            until = now
        else:
            until = self._guess(now, sent_at)
        self.hold(now + min(retry_after, MAX_HOLD) if retry_after else min(until, now + MAX_HOLD))
        return self.held_until

    def held(self, now: float) -> tuple[float, float]:
        """Until when and since when nothing starts by the server's word: a 429, or a told limit that is used up.

        Both are past, or now, where something may start or an answer decides.
        """
        if self._told:
            told = {(rate.count, rate.per) for rate in self._told if rate not in self._promised}
            for window in self._windows:
                if window.due < math.inf and (window.count, window.per) in told:
                    self.hold(window.due)
        return self.held_until, min(self.held_since, now)

    def used_up(self, now: float) -> tuple[float, float, Rate, str] | None:
        """A window without room, where no 429 holds for as long: since when, until when, its rate and whose it is.

        Whose: see `UsedUp`. `None` where something may start, or an answer decides.
        """
        until = self._free
        if not now < until < math.inf or self.held_until >= until:
            return None
        window = next(one for one in self._windows if one.due == until)
        # What the pace knows of the last start; answers may come long after it.
        since = self._dripped - self._pause if 0 < self._dripped < math.inf else self._left
        if window is not self._found:
            for rate in self._promised:
                if rate.count == window.count and rate.per == window.per:
                    return since, until, rate, "configured"
        return since, until, Rate(window.count, window.per), "learned" if window is self._found else "told"

    def also(self, rate: Rate | None) -> None:
        """Keep to the rate of another account too, which reaches the same scope."""
        more = [one for one in promises(rate) if one not in self._promised]
        if not more:
            return
        known = max(self._windows, key=lambda window: window.remembers, default=None)
        past, out = [] if known is None else known.answers(-math.inf), self._entered - self._answered
        self._promised += tuple(more)
        self._rate = min(self._promised, key=lambda one: one.count / one.per)
        self._put(*self._windows, *(Window(one, past, out) for one in more))
        self._pace(even=self._estimate is None or self._estimate.even)

    # ---- what the server told

    def _recalibrate(self, now: float, told: Rate) -> float:
        """Keep a limit that was told, beside those of other lengths; return when there is room in it."""
        self._told = (*(rate for rate in self._told if rate.per != told.per), told)[-_MOST_TOLD:]
        self._told_at = now
        past, out = self._past(now, told.per)
        # What is missing others have used, at the latest when this scope began: it is older than its own.
        missing = min(_MOST_OTHERS, max(0, told.count - len(past) - out))
        return self._limit(now, told, [max(self._began, now - told.per)] * missing + past, out)

    def _wait_out(self, now: float, told: Rate) -> float:
        """Refused again soon after: more had been used, and later, than was thought. All of it is old in a window."""
        self._told_at = -math.inf
        out = self._entered - self._answered
        self._limit(now, told, [now] * min(_MOST_OTHERS, max(0, told.count - out)), out)
        return now + told.per

    def _limit(self, now: float, told: Rate, past: list[float], out: int) -> float:
        window, others = Window(told, past, out), (rate for rate in self._told if rate != told)
        kept = {(UNLIMITED, LONGEST_SPREAD), *((rate.count, rate.per) for rate in (*self._promised, *others))}
        still = (one for one in self._windows if one is self._found or (one.count, one.per) in kept)
        self._put(*still, window)
        self._pace(even=True)
        return window.due if window.due < math.inf else now

    def _past(self, now: float, seconds: float) -> tuple[list[float], int]:
        """When the requests of the last `seconds` were answered, as far as known, and how many are out.

        Where no window remembers them, they count as spread evenly over the time since the first.
        """
        longest = max(self._windows, key=lambda window: window.remembers, default=None)
        known = longest.answers(now - seconds) if longest is not None else []
        until = now - longest.remembers if longest is not None else now
        rest, since = self._answered - len(known), now - seconds
        if rest <= 0 or until <= since:
            return known, self._entered - self._answered
        # The spread is quicker than the rate, and then it pauses: they may have come that much later.
        rate = self._rate
        late = (1 - 1 / quicker(rate.count)) * rate.per if rate is not None and rate.per <= LONGEST_SPREAD else 0.0
        return spread_out(rest, self._began, until, late, since) + known, self._entered - self._answered

    def _takes_its_word(self, now: float) -> bool:
        """A few times in a minute it is enough to wait for as long as it says, whatever the reason."""
        if now >= self._hinted_at + _MINUTE:
            self._hinted_at, self._hints = now, 0
        self._hints += 1
        return self._hints <= _ENOUGH

    # ---- what it did not tell

    def _guess(self, now: float, sent_at: float) -> float:
        """Adapt the estimate; return until when to wait before the next request is tried, alone."""
        estimate = self._estimate or self._first_estimate(now)
        refused, growing, forked = self._refused or (), estimate.growing, self._estimate is None
        self._estimate = estimate
        past, _ = self._past(now, estimate.per)
        estimate.refuse(now, len(past) - sum(at > now - estimate.per for at in refused) + 1)
        self._keep(now, estimate.rate, even=estimate.even)
        self._trial_at, self._dripped = math.inf, 0.0
        due = self._found.due if self._found is not None and self._found.due < math.inf else now
        until = max(due, estimate.wait, now + min(_MAX_WAIT, 0.02 * 3.0**estimate.streak))
        # One that is refused among the first tells only of its own scope: somebody else may have used it up.
        peers, telling = self._peers, forked and self._accepted >= _TELLING
        if peers is not None and (telling or peers.estimate is estimate):
            peers.refused(estimate, now, now if growing else until + 3 * (now - sent_at) + 0.01)
        return until

    def _first_estimate(self, now: float) -> Estimate:
        if self._peers is not None and self._peers.estimate is not None:
            return self._peers.estimate.fork(now)
        ceiling = min(self._told, key=lambda rate: rate.count / rate.per) if self._told else self._rate
        return Estimate(now, self._began, self._accepted, ceiling)

    def _follow(self, peers: Peers) -> None:
        """Keep to what another has found, unless there is an estimate of its own."""
        self._version = peers.version
        if self._estimate is None and peers.estimate is not None:
            self.hold(peers.opens)
            self._keep(max(self._left, self._began), peers.estimate.followed, even=True)

    def _keep(self, now: float, rate: Rate, *, even: bool) -> None:
        """Put a rate into force that was found, in place of the one before."""
        found = self._found
        if found is None or rate.per > found.remembers:
            remembers = max(1.3 * rate.per, LONGEST_SPREAD)
            past, out = self._past(now, remembers)
            self._found = Window(rate, past, out, remembers)
            self._put(*(one for one in self._windows if one is not found), self._found)
        else:
            found.resize(rate)
            self._put(*self._windows)
        self._pace(even=even)

    def _put(self, *windows: Window) -> None:
        self._windows = windows
        self._free = max(window.due for window in windows)

    def _pace(self, *, even: bool) -> None:
        """Spread the starts by the slowest of the windows that are short; the one that was found if `even`."""
        paces = [
            self._quickness(window) * window.count / window.per
            for window in self._windows
            if window.per <= (1.3 * LONGEST_SPREAD if window is self._found else LONGEST_SPREAD)
            and (even or window is not self._found)
        ]
        self._pause = 1 / min(paces) if paces else 0.0

    def _quickness(self, window: Window) -> float:
        if window is self._found:
            return _A_LITTLE_QUICKER
        return window.per / (window.per + _LAG) if self._answered < self._behind else quicker(window.count)
