"""What projects share: the credential they are reached with, its key, and the endpoint it is used at.

Plain state without I/O, task or clock; `fleet` decides whose turn it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from sdrs_async.auth import SignInCounts
from sdrs_async.engine.line import Line
from sdrs_async.limits import Limits, Rate
from sdrs_async.models import Call, Reply
from sdrs_async.pace.crowd import Concurrency
from sdrs_async.pace.meter import Gate
from sdrs_async.pace.peers import Peers

if TYPE_CHECKING:
    from sdrs_async.engine.lanes import Lane

__all__ = ["Endpoint", "Hold", "Key", "Send", "SignIn", "User"]

# One or two may have had their own limit used up by somebody else.
_TURNED_AWAY = 3
# Seconds without a sign-in, after a hold, after which a 429 has nothing to do with it.
_LULL = 10.0


class Send(Protocol):
    """One request on the wire, one classified reply within `timeout` seconds."""

    async def __call__(self, call: Call, timeout: float, /) -> Reply:  # noqa: ASYNC109 - the HTTP client enforces it
        """Never raises for what a server or network does: that is data."""
        ...


SignIn = Callable[[str, float], Awaitable[float | Reply]]
"""Signs in to a project within so many seconds: the seconds for which that is good, or what went wrong."""


class Key:
    """An access key, which a few refusals lock; all users that sign with it share its fate.

    `proven`: no read has to prove it (any more); `cap`: requests at a time, few of them until an answer has shown that
    it is good.
    """

    __slots__ = ("cap", "in_flight", "proven", "users")

    def __init__(self) -> None:
        self.cap: float = 1
        self.in_flight = 0
        self.proven = False
        self.users: list[User] = []


class Hold:
    """Sign-ins that wait as a whole after a 429 of IAM.

    `until`: the loop's time; `since`: when the first of the 429s came since which no sign-in went well, else `inf`;
    `refusals`: how many in a row; `refusal`: the last of them.
    """

    __slots__ = ("refusal", "refusals", "since", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.since = math.inf
        self.refusals = 0
        self.refusal: Reply | None = None

    def refuse(self, now: float) -> int:
        """Count a 429 and return how many there were in a row; those that arrive during a hold belong to its cause."""
        if now >= self.until or not self.refusals:
            self.refusals += 1
        self.since = now if now > self.until + _LULL else min(self.since, now)
        return self.refusals

    def accept(self) -> None:
        """A sign-in went well, which ends their row."""
        self.refusals, self.since = 0, math.inf

    def hold(self, until: float) -> None:
        """Nothing before `until`; a shorter hold never cuts a longer one."""
        self.until = max(self.until, until)

    def held(self, now: float) -> tuple[float, float]:
        """Until when and since when, as a gate has it."""
        return self.until, min(self.since, now)


class Endpoint:
    """What is common to all that is sent to one endpoint: its rate, its `users`, what it can take at once.

    `crowd`: how many requests at a time, as many as the fleet may or fewer while latency says that they queue; `turn`:
    its entry in the line.
    """

    __slots__ = ("crowd", "gate", "in_flight", "name", "turn", "users")

    def __init__(self, name: str, rate: Rate | None, concurrency: int | None, line: Line) -> None:
        self.name = name
        self.users: list[User] = []
        self.gate = Gate(rate)
        self.crowd = Concurrency(math.inf if concurrency is None else concurrency)
        self.in_flight = 0
        self.turn = line.endpoint(self)

    def due(self) -> float:
        """When the next request may start; `inf` if only an answer can tell."""
        return math.inf if self.in_flight >= self.crowd.cap else self.gate.due()

    def answered(self, now: float, elapsed: float) -> None:
        """A request was answered after so many seconds."""
        self.crowd.add(now, elapsed, self.in_flight)


class User:
    """One credential at one endpoint: what its projects share.

    `lanes`: its projects by their ids; the one of the account itself has an empty id. `gate` limits its requests,
    `peers` is what its projects learn of each other, `sign_ins` waits when IAM throttles;
    `sign_in` is `None` where nobody has to sign in, `key` where there is no key to be locked. `weight`: turns in a row
    of each of its projects; `turn`: its entry in the line.
    `counts`: its sign-ins, where there are any.
    `unsigned`: lanes that wait for a sign-in, `signing`: how many sign-ins are under way, `has_token`: one has
    succeeded, `silent_since`: when the first began that failed; `stopped`: why nothing more is sent; `signed_in`,
    `refused`: whether it was ever let in, and why it was not.
    """

    __slots__ = (
        "_project_rate", "_turned_away", "counts", "endpoint", "gate", "has_token", "key", "lanes", "limits", "name",
        "peers", "refused", "send", "sign_in", "sign_ins", "signed_in", "signing", "silent_since",
        "stopped", "turn", "unsigned", "weight",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        send: Send,
        limits: Limits,
        endpoint: Endpoint,
        *,
        sign_in: SignIn | None = None,
        key: Key | None = None,
        weight: int = 1,
        counts: SignInCounts | None = None,
    ) -> None:
        self.name = name
        self.send = send
        self.sign_in = sign_in
        self.counts = counts
        if counts is not None:
            counts.belong_to(self.called)
        self.limits = limits
        self.endpoint = endpoint
        endpoint.users.append(self)
        self.lanes: dict[str, Lane] = {}
        self.gate = Gate(Rate.parse(limits.user_rate))
        self.peers = Peers()
        self._turned_away: set[Lane] = set()
        self._project_rate = Rate.parse(limits.project_rate)
        self.sign_ins = Hold()
        self.key = key
        if key is not None:
            key.users.append(self)
        self.weight = weight
        self.turn = endpoint.turn.line.user(self, endpoint.turn)
        self.unsigned: deque[Lane] = deque()
        self.signing = 0
        self.has_token = False
        self.silent_since = math.inf
        self.stopped: str | None = None
        self.signed_in = False
        self.refused: str | None = None

    @property
    def called(self) -> str:
        """What messages call its account: the only one of `clean()` and `stream()` has no name."""
        return self.name or "the account"

    def project_gate(self, shared: Gate | None = None) -> Gate:
        """The gate of one of its projects; `shared`: of another user who reaches the same project."""
        if shared is None:
            return Gate(self._project_rate, peers=self.peers)
        shared.also(self._project_rate)
        return shared

    def due(self) -> float:
        """When the next request of a project of its may start, the endpoint apart; `inf` if an answer has to tell."""
        if self.key is not None and self.key.in_flight >= self.key.cap:
            return math.inf
        return self.gate.due()

    def admit(self, lane: Lane) -> None:
        """A project has its first answer that is no 429."""
        lane.admitted = True
        if len(self._turned_away) < _TURNED_AWAY:
            self._turned_away.clear()

    def turns_away(self, lane: Lane, now: float, sent_at: float) -> bool:
        """A project got a 429 that names no scope, for a request sent at `sent_at`; whether the limit is the user's.

        It is once several projects in a row were refused at their first request, or when they followed another one to
        a higher rate: a limit of their own would have let these through. From then on it is the user's that counts.
        """
        if lane.gate.follows:
            self.peers.doubt(lane, now, sent_at)
        if not lane.admitted and len(self._turned_away) < _TURNED_AWAY:
            self._turned_away.add(lane)
        return self.peers.shared or len(self._turned_away) >= _TURNED_AWAY

    def prove(self) -> None:
        """An answer came from behind the sign-in."""
        self.signed_in = True
        if self.key is not None:
            self.key.proven, self.key.cap = True, math.inf

    def needs_proof(self) -> bool:
        """Whether a read has to show that the key is good before anything else is sent."""
        return self.key is not None and not self.key.proven

    def is_known(self) -> bool:
        """Whether an answer has shown that the credential is good."""
        return self.signed_in and (self.key is None or self.key.cap == math.inf)
