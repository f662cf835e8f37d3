"""One account's requests one by one, each within a time and at the account's rates. For a look, not for a run."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

import anyio

from sdrs_async.accounts.account import Account, client_of
from sdrs_async.limits import Rate, RetryPolicy
from sdrs_async.models import Listing, Reply, Verdict
from sdrs_async.pace.meter import Gate

# How often to look whether another account's request has left room at the endpoint that they share.
_LOOK = 0.02


class PacedClient:
    """The client of an account; one request at a time. `client` has to be entered, and is left, by its owner.

    `seconds`: for whatever is asked, by default; `endpoints`: the gates of the endpoints, which accounts share.
    Nothing is tried again. Raises `ConfigError` for what cannot be used.
    """

    def __init__(self, account: Account, seconds: float, endpoints: dict[str, Gate]) -> None:
        self.client = client_of(account, RetryPolicy(timeout=seconds), account.limits.concurrency)
        limits = account.limits
        self._seconds = seconds
        self._endpoint = endpoints.setdefault(self.client.endpoint, Gate(Rate.parse(limits.endpoint_rate)))
        self._user = Gate(Rate.parse(limits.user_rate))
        self._projects = {at_iam: Gate(Rate.parse(limits.project_rate)) for at_iam in (False, True)}

    def until(self) -> float:
        """The loop's time at which the time for what is asked from now on is over."""
        return anyio.current_time() + self._seconds

    async def greet(self, *, at_iam: bool) -> Reply:
        """As `Client.greet`."""
        return await self._paced(lambda left: self.client.greet(left, at_iam), self.until(), (self._endpoint,))

    async def sign_in(self) -> Reply:
        """Sign the account in; `READ` without a status where that went well."""
        result = await self.client.sign_in("", self._seconds)
        return result if isinstance(result, Reply) else Reply(Verdict.READ)

    async def ask(self, page: Listing, until: float) -> Reply:
        """The reply to a page by the loop's time `until`; its verdict is `SKIPPED` where that left no time to ask."""
        gates = (self._endpoint, self._user, self._projects[page.at_iam])
        return await self._paced(lambda left: self.client.send(page, left), until, gates)

    async def _paced(self, send: Callable[[float], Awaitable[Reply]], until: float, gates: Sequence[Gate]) -> Reply:
        """What `send`, told the seconds that are left, answers; it has its turn when all gates are due."""
        while (due := max(gate.due() for gate in gates)) > (now := anyio.current_time()) or now >= until:
            if now >= until or until <= due < math.inf:
                text = f"not done within {self._seconds:g} s, at the rates of this account"
                return Reply(Verdict.SKIPPED, message=text, sent=False)
            # Until infinity: only an answer to another account at this endpoint can tell.
            await anyio.sleep_until(due if due < math.inf else now + _LOOK)
        for gate in gates:
            gate.enter(now)
        late = self._seconds
        try:
            reply = await send(until - now)
            late = self._seconds if reply.timed_out else 0.0
            return reply
        finally:
            now = anyio.current_time()
            for gate in gates:
                gate.leave(now, late)
