"""What the 429s of a scope show of its limits: those that they tell, and the search for one that they do not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sdrs_async.limits import Rate
from sdrs_async.pace.estimate import Estimate
from sdrs_async.pace.peers import Peers
from sdrs_async.pace.windows import LONGEST_SPREAD, UNLIMITED, Window, quicker, spread_out

if TYPE_CHECKING:
    from sdrs_async.pace.meter import Gate

# Seconds without a request after which a scope begins anew.
LULL = 10.0
# Longest wait in seconds that a 429 may impose on a scope, whatever its `Retry-After` says.
MAX_HOLD = 900.0
_NEVER = -math.inf
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


class Learning:
    """What the answers of one scope show of its limits, and what its gate has to keep to by that.

    `told`: the limits that 429s named. A limit that none names is looked for by an `estimate`: one of this scope alone,
    or, where it has none, the one that its `peers`, the scopes like it, follow. `heeded`: when the last 429 came that
    changed something.
    """

    __slots__ = (
        "_gate", "_hinted_at", "_hints", "_peers", "_refused", "_told_at", "_trial_at", "estimate", "heeded", "told",
    )  # fmt: skip

    def __init__(self, gate: Gate, peers: Peers | None) -> None:
        self._gate = gate
        self._peers = peers
        self.told: tuple[Rate, ...] = ()
        self._told_at = self._hinted_at = self.heeded = _NEVER
        self._hints = 0
        self._refused: list[float] = []
        self.estimate: Estimate | None = None
        self._trial_at = math.inf

    @property
    def learned(self) -> tuple[Rate, bool] | None:
        """The rate in force that the server showed, and whether it told it; `None` if it showed none."""
        estimate = self.estimate
        if estimate is None and self._peers is not None and self._gate.found is not None:
            estimate = self._peers.estimate
        if estimate is not None and estimate.known is not None:
            return estimate.known, False
        return (_slowest(self.told), True) if self.told else None

    def follow(self, peers: Peers) -> None:
        """Keep to what a like scope has found, unless this one has an estimate of its own."""
        if self.estimate is None and peers.estimate is not None:
            traffic = self._gate.traffic
            self._gate.hold(peers.opens)
            self._keep(max(traffic.left, traffic.began), peers.estimate.followed)

    def tries(self, now: float) -> bool:
        """A request starts; true if it has to go alone, so that nothing else starts until it is answered."""
        if trial := self.estimate is not None and self.estimate.trial:
            self._trial_at = now
        return trial

    def accept(self, now: float, sent_at: float) -> None:
        """A request was answered with something else than a 429; who follows a like scope may have to lead now."""
        estimate, peers = self.estimate, self._peers
        if estimate is None and peers is not None:
            estimate = self.estimate = peers.inherit(now)
        if estimate is None:
            return
        trial = estimate.trial and sent_at >= self._trial_at
        if estimate.trial and not trial:
            changed = estimate.accept_late()
        else:
            may = peers is None or not estimate.wants_more(now) or peers.may_probe(now)
            changed = estimate.accept(now, probe=may)
        if changed:
            self._keep(now, estimate.rate)
        if trial:
            self._gate.resume()
        if peers is not None and peers.estimate is estimate:
            peers.accepted(now, changed=trial or (changed and not estimate.growing))

    def refuse(self, now: float, sent_at: float, told: Rate | None, *, says_when: bool) -> float | None:
        """A request got a 429; until when nothing should start, where the server says not when, `None`: as before."""
        self._refused = [at for at in self._refused if at > now - LONGEST_SPREAD] + [now]
        if self._was_heeded(now, sent_at):
            return None
        self.heeded = now
        if told is not None and told.per > _LONGEST_TOLD:
            return now + MAX_HOLD
        if told is not None and told not in self.told:
            return self._recalibrate(now, told)
        if told is not None and now < self._told_at + 2 * told.per:
            return self._wait_out(now, told)
        return now if says_when and self._takes_its_word(now) else self._guess(now, sent_at)

    def _was_heeded(self, now: float, sent_at: float) -> bool:
        """Whether a 429 is of the same cause as the last one, of this scope or of the one that it follows."""
        estimate = self.estimate
        peers = self._peers if estimate is None else None
        if sent_at > self.heeded and (peers is None or sent_at > peers.heeded):
            return False
        if estimate is not None:
            estimate.refuse_late(now)
        elif peers is not None:
            peers.refused_as_well(now)
        return True

    # ---- what the server told

    def _recalibrate(self, now: float, told: Rate) -> float:
        """Keep a limit that was told, beside those of other lengths; return when there is room in it."""
        self.told = (*(rate for rate in self.told if rate.per != told.per), told)[-_MOST_TOLD:]
        self._told_at = now
        traffic, past = self._gate.traffic, self._past(now, told.per)
        # What is missing others have used, at the latest when this scope began: it is older than its own.
        missing = min(_MOST_OTHERS, max(0, told.count - len(past) - traffic.out))
        return self._limit(now, told, [max(traffic.began, now - told.per)] * missing + past)

    def _wait_out(self, now: float, told: Rate) -> float:
        """Refused again soon after: more had been used, and later, than was thought. All of it is old in a window."""
        self._told_at = _NEVER
        self._limit(now, told, [now] * min(_MOST_OTHERS, max(0, told.count - self._gate.traffic.out)))
        return now + told.per

    def _limit(self, now: float, told: Rate, past: list[float]) -> float:
        """Put a told limit into force, in place of those that are told no more; return when there is room in it."""
        gate = self._gate
        window, others = Window(told, past, gate.traffic.out), (rate for rate in self.told if rate != told)
        kept = {(UNLIMITED, LONGEST_SPREAD), *((rate.count, rate.per) for rate in (*gate.promised, *others))}
        still = (one for one in gate.windows if one is gate.found or (one.count, one.per) in kept)
        gate.put(*still, window, even=True)
        return window.due if window.due < math.inf else now

    def _past(self, now: float, seconds: float) -> list[float]:
        """When the requests of the last `seconds` were answered, as far as known.

        Where no window remembers them, they count as spread evenly over the time since the first.
        """
        traffic, rate = self._gate.traffic, self._gate.rate
        longest = max(self._gate.windows, key=lambda window: window.remembers, default=None)
        known = longest.answers(now - seconds) if longest is not None else []
        until = now - longest.remembers if longest is not None else now
        rest, since = traffic.answered - len(known), now - seconds
        if rest <= 0 or until <= since:
            return known
        # The spread is quicker than the rate, and then it pauses: they may have come that much later.
        late = (1 - 1 / quicker(rate.count)) * rate.per if rate is not None and rate.per <= LONGEST_SPREAD else 0.0
        return spread_out(rest, traffic.began, until, late, since) + known

    def _takes_its_word(self, now: float) -> bool:
        """A few times in a minute it is enough to wait for as long as it says, whatever the reason."""
        if now >= self._hinted_at + _MINUTE:
            self._hinted_at, self._hints = now, 0
        self._hints += 1
        return self._hints <= _ENOUGH

    # ---- what it did not tell

    def _guess(self, now: float, sent_at: float) -> float:
        """Adapt the estimate; return until when to wait before the next request is tried, alone."""
        first, estimate = self.estimate is None, self.estimate or self._first_estimate(now)
        self.estimate, growing, gate = estimate, estimate.growing, self._gate
        refused = sum(at > now - estimate.per for at in self._refused)
        estimate.refuse(now, len(self._past(now, estimate.per)) - refused + 1)
        self._keep(now, estimate.rate)
        self._trial_at = math.inf
        gate.resume()
        due = gate.found.due if gate.found is not None and gate.found.due < math.inf else now
        until = max(due, estimate.wait, now + min(_MAX_WAIT, 0.02 * 3.0**estimate.streak))
        # One that is refused among the first tells only of its own scope: somebody else may have used it up.
        peers, telling = self._peers, first and gate.traffic.accepted >= _TELLING
        if peers is not None and (telling or peers.estimate is estimate):
            peers.refused(estimate, now, now if growing else until + 3 * (now - sent_at) + 0.01)
        return until

    def _first_estimate(self, now: float) -> Estimate:
        if self._peers is not None and self._peers.estimate is not None:
            return self._peers.estimate.fork(now)
        traffic = self._gate.traffic
        return Estimate(now, traffic.began, traffic.accepted, _slowest(self.told) if self.told else self._gate.rate)

    def _keep(self, now: float, rate: Rate) -> None:
        """Put a rate into force that was found, in place of the one before."""
        found = self._gate.found
        if found is None or rate.per > found.remembers:
            remembers = max(1.3 * rate.per, LONGEST_SPREAD)
            found = Window(rate, self._past(now, remembers), self._gate.traffic.out, remembers)
        else:
            found.resize(rate)
        self._gate.find(found)


def _slowest(rates: tuple[Rate, ...]) -> Rate:
    return min(rates, key=lambda rate: rate.count / rate.per)
