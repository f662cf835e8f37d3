"""Who may come in: the made-up account, its password, its key and the tokens that were issued to it."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web

from sdrs_async.simulator.ids import digest
from sdrs_async.simulator.signature import ALGORITHM, SignedRequest, refusal

__all__ = ["Access", "Account"]


class Account(NamedTuple):
    """One user with all that it can sign in with; made up from the seed, so good for this server alone."""

    user: str
    user_id: str
    password: str
    domain: str
    domain_id: str
    access_key: str
    secret_key: str

    @classmethod
    def from_seed(cls, seed: int) -> Account:
        """The account of a server with this seed."""
        return cls(
            user="simulated-operator",
            user_id=digest(seed, "user"),
            password=f"Simulated-{digest(seed, 'password', 8)}",
            domain="simulated-domain",
            domain_id=digest(seed, "domain"),
            access_key=f"SIM{digest(seed, 'access key', 8).upper()}0",
            secret_key=f"Simulated{digest(seed, 'secret key')}",
        )


class Access:
    """Tells who sent a request, by its token or its signature."""

    def __init__(self, account: Account, seed: int) -> None:
        self.account = account
        self.token = f"SIM-{digest(seed, 'fleet token')}"
        self._seed = seed
        self._users = {self.token: account.user}

    def issue(self) -> str:
        """A new token of the account; those before it stay good."""
        token = f"SIM-{digest(self._seed, f'token {len(self._users)}')}"
        self._users[token] = self.account.user
        return token

    async def user_of(self, request: web.BaseRequest, path: str, query: str) -> tuple[str | None, str]:
        """The user whose credential a request carries; else `None` and the reason, in the words of the gateway."""
        token = request.headers.get("X-Auth-Token")
        if token is not None:
            user = self._users.get(token)
            return user, "" if user else "decrypt token fail"
        if not request.headers.get("Authorization", "").startswith(ALGORITHM):
            return None, "Get token from header failed"
        signed = SignedRequest(request.method, path, query, request.headers, await request.read())
        reason = refusal(signed, self.account.access_key, self.account.secret_key)
        return (self.account.user, "") if reason is None else (None, reason)
