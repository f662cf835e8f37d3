"""Who sent a request: the account whose token it carries, or whose key has signed it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sdrs_async.simulator.account import Account
from sdrs_async.simulator.keys import Keys
from sdrs_async.simulator.signature import ALGORITHM, SignedRequest, claim_of
from sdrs_async.simulator.tokens import Token, Tokens


class Visitor(NamedTuple):
    """Somebody with a request. `reason`: why its credential is refused, in the gateway's words; `None`: it is good.

    `credential`: which one it is, without being it: `token 17`, or the id of the access key; `None`: nothing that is
    known. `token`: the token, where it is one and was issued here.
    """

    reason: str | None
    credential: str | None = None
    token: Token | None = None


class Access:
    """Tells who sent a request, by its token or its signature. `clock`: POSIX seconds now."""

    def __init__(self, account: Account, seed: int, token_life: float, clock: Callable[[], float]) -> None:
        self.account = account
        self.clock = clock
        self.tokens = Tokens(seed, token_life, clock)
        self.keys = Keys((account.key, account.temporary_key), clock)

    def visitor(self, request: SignedRequest) -> Visitor:
        """Judge the credential of a request; a wrong signature is counted against its key."""
        text = request.headers.get("X-Auth-Token")
        if text is None:
            return self._signer(request)
        token = self.tokens.find(text)
        return Visitor(self.tokens.refusal(token), f"token {token.number}" if token else None, token)

    def _signer(self, request: SignedRequest) -> Visitor:
        authorization = request.headers.get("Authorization", "")
        if not authorization.startswith(ALGORITHM):
            return Visitor("Get token from header failed")
        claim = claim_of(authorization)
        if claim is None:
            return Visitor("the Authorization header has a wrong form")
        return Visitor(self.keys.refusal(request, claim), claim.access_key)
