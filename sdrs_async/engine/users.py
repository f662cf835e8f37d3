"""What projects share: the credential they are reached with, its key, and the endpoint it is used at."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdrs_async.auth import SignInCounts
from sdrs_async.cloud import events
from sdrs_async.engine.access import SignIn, SignInBook
from sdrs_async.engine.line import Line
from sdrs_async.limits import Limits, Rate
from sdrs_async.models import Call, Reply, Verdict
from sdrs_async.pace.crowd import Concurrency
from sdrs_async.pace.meter import Gate
from sdrs_async.pace.peers import Peers

if TYPE_CHECKING:
    from sdrs_async.engine.lanes import Job, Lane

Send = Callable[[Call, float], Coroutine[Any, Any, Reply]]
"""One request on the wire, one classified reply within so many seconds: also of what servers and networks do wrong."""

# One or two may have had their own limit used up by somebody else.
_TURNED_AWAY = 3
# These answers come from behind the sign-in: the credential was accepted.
_SIGNED_IN = frozenset(
    {Verdict.DELETED, Verdict.READ, Verdict.GONE, Verdict.REJECTED, Verdict.FORBIDDEN, Verdict.CONFLICT}
)
# Of those, the ones that no wrong address can give.
_PROOF = frozenset({Verdict.DELETED, Verdict.READ, Verdict.FORBIDDEN})
# The gateway locks a key after more than five refusals in a row (vendor's FAQ on signing). While no answer has told
# whether it is good, so many requests are out at most: with the one that got no answer they stay below that.
_UNPROVEN = 4


@dataclass(slots=True, eq=False)
class Key:
    """An access key, which a few refusals lock; all `users` that sign with it share its fate.

    `proven`: no read has to prove it (any more); `cap`: so many requests may be `out`, few until an answer has shown
    that it is good.
    """

    cap: float = 1
    out: int = 0
    proven: bool = False
    users: list[User] = field(default_factory=list)

    def note(self, *, good: bool) -> None:
        """A request that it signed has ended; `good`: by an answer that shows that the key is good."""
        self.proven = self.proven or good
        self.cap = math.inf if good else max(self.cap, _UNPROVEN)


class Endpoint:
    """What is common to all that is sent to one endpoint: its rate, its `users`, what it can take at once.

    `crowd`: how many requests at a time, as many as the fleet may or fewer while latency says that they queue; `turn`:
    its entry in the line.
    """

    __slots__ = ("crowd", "gate", "name", "turn", "users")

    def __init__(self, name: str, rate: Rate | None, concurrency: int | None, line: Line) -> None:
        self.name = name
        self.users: list[User] = []
        self.gate = Gate(rate)
        self.crowd = Concurrency(math.inf if concurrency is None else concurrency)
        self.turn = line.endpoint(self)

    def due(self) -> float:
        """When the next request may start; `inf` if only an answer can tell."""
        return math.inf if self.gate.traffic.out >= self.crowd.cap else self.gate.due()


class Projects:
    """What the projects of one user have in common: the rate and the `cap` of each, what they learn of each other."""

    __slots__ = ("_peers", "_rate", "_turned_away", "cap")

    def __init__(self, rate: Rate | None, cap: int | None, peers: Peers | None = None) -> None:
        self._rate = rate
        self.cap = math.inf if cap is None else cap
        self._peers = peers or Peers()
        self._turned_away: set[Lane] = set()

    def gate(self, shared: Gate | None) -> Gate:
        """The gate of one of them; `shared`: of another user who reaches the same project."""
        if shared is None:
            return Gate(self._rate, peers=self._peers)
        shared.also(self._rate)
        return shared

    def admit(self) -> None:
        """One of them has its first answer that is no 429."""
        if len(self._turned_away) < _TURNED_AWAY:
            self._turned_away.clear()

    def turn_away(self, lane: Lane, now: float, sent_at: float) -> bool:
        """One got a 429 that names no scope, for a request sent at `sent_at`; whether the limit is their user's.

        It is once several projects in a row were refused at their first request, or when they followed another one to
        a higher rate: a limit of their own would have let these through. From then on it is the user's that counts.
        """
        if lane.gate.follows:
            self._peers.doubt(lane, now, sent_at)
        if not lane.record.admitted and len(self._turned_away) < _TURNED_AWAY:
            self._turned_away.add(lane)
        return self._peers.shared or len(self._turned_away) >= _TURNED_AWAY


class Standing:
    """How a user stands with the service: whether it was ever let in (`signed_in`), the last reason why it was not
    (`refused`), and why nothing more is sent for it (`stopped`).
    """

    __slots__ = ("refused", "signed_in", "stopped")

    def __init__(self) -> None:
        self.signed_in = False
        self.refused: str | None = None
        self.stopped: str | None = None

    def note(self, reply: Reply) -> None:
        """A reply came, from behind the sign-in or not."""
        self.signed_in = self.signed_in or reply.verdict in _SIGNED_IN or _is_of_sdrs(reply)
        if reply.verdict is Verdict.UNAUTHORIZED:
            self.refused = reply.message or self.refused or ""

    def refuse_with(self, other: Standing) -> None:
        """Another user's credential was refused, and this one's is the same."""
        self.refused = self.refused or other.refused

    def stop(self, reason: str) -> bool:
        """Nothing more is sent, for this reason unless there is one already; whether that is new."""
        if new := self.stopped is None:
            self.stopped = reason
        return new


class User:
    """One credential at one endpoint: what its projects share.

    `lanes`: its projects by their ids; the one of the account itself has an empty id. `gate` limits its requests,
    `projects` is what its projects are alike in; `key` is `None` where there is no key to be locked. `weight`: turns in
    a row of each of its projects; `turn`: its entry in the line.
    """

    __slots__ = (
        "endpoint", "gate", "key", "lanes", "name", "projects", "send", "sign_ins", "standing", "turn", "weight",
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
        if counts is not None:
            counts.used_by(name)
        self.sign_ins = SignInBook(sign_in, counts)
        self.endpoint = endpoint
        endpoint.users.append(self)
        self.lanes: dict[str, Lane] = {}
        self.gate = Gate(Rate.parse(limits.user_rate))
        self.projects = Projects(Rate.parse(limits.project_rate), limits.project_concurrency)
        self.standing = Standing()
        self.key = key
        if key is not None:
            key.users.append(self)
        self.weight = weight
        self.turn = endpoint.turn.line.behind(endpoint.turn, self)

    @property
    def called(self) -> str:
        """What messages call its account: the only one of `clean()` and `stream()` has no name."""
        return self.name or "the account"

    def due(self) -> float:
        """When the next request of a project of its may start, the endpoint apart; `inf` if an answer has to tell."""
        if self.key is not None and self.key.out >= self.key.cap:
            return math.inf
        return self.gate.due()

    def note(self, reply: Reply) -> None:
        """Learn from a reply whether the credential is good."""
        self.standing.note(reply)
        if self.key is not None:
            self.key.note(good=reply.verdict in _PROOF or _is_of_sdrs(reply))

    def stop(self, reason: str) -> list[Job]:
        """Nothing more is sent for any of its projects, for this reason; return what waits of them."""
        new = self.standing.stop(reason)
        waiting = [job for lane in self.lanes.values() for job in lane.stop(reason)]
        if new:
            events.stopped(self.called, reason, len(waiting))
        return waiting

    def is_refused_by(self, reply: Reply) -> bool:
        """Whether a refusal is one of the whole account, not of the project alone."""
        return reply.whole_account or (self.key is not None and not _is_of_sdrs(reply))

    def refused_with(self) -> set[User]:
        """Whom the refusal of its credential stops: all that sign with its key, where each would cost a refusal.

        Not those whom the same key was let in for, unless it was for this user too: then it is not good any more.
        """
        others = self.key.users if self.key is not None else []
        let_in = self.standing.signed_in
        return {self, *(other for other in others if let_in or not other.standing.signed_in)}


def _is_of_sdrs(reply: Reply) -> bool:
    """Whether the service itself said it, to which the gateway lets nobody through who has not signed in."""
    return reply.error_code is not None and reply.error_code.upper().startswith("SDRS.")
