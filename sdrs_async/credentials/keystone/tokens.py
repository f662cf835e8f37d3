"""One token per project: asked for when needed, by one for all that wait, renewed in time. No I/O, no keystoneauth."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import anyio

from sdrs_async.auth import SignInFailed
from sdrs_async.credentials.shared_work import SharedWork
from sdrs_async.models import Verdict

HEADER = "X-Auth-Token"
# A request that carries the token must have been read by the server before the token expires.
_MARGIN = 120.0
_MARGIN_SHARE = 0.2
# IAM is throttled too.
_AT_ONCE = 4
# Projects refused one after the other, until the account is asked whether it is its password.
_DOUBTED = 2


@dataclass(slots=True)
class Token:
    """A token, in the header that it is sent in. One is held per project, so there is nothing else in it.

    `life`: seconds it is good from its issue, `inf` if the server does not say; `project_id`: of the scope it has;
    `endpoint`: of the service, by its catalog; `good_until`: on the clock that its owner counts by.
    """

    headers: Mapping[str, str] = field(repr=False)
    life: float = float("inf")
    project_id: str | None = None
    endpoint: str | None = None
    good_until: float = float("inf")

    def hold(self, asked_at: float) -> None:
        """It was asked for at this time; issued later, it is good a little longer than this counts."""
        self.good_until = asked_at + self.life - min(_MARGIN, _MARGIN_SHARE * self.life)

    def refuse(self) -> None:
        """A server has refused it: it is good no longer."""
        self.good_until = float("-inf")


class Tokens:
    """The tokens of one account. The empty project id is the account itself, in the scope that was configured.

    `ask(project_id, base)` signs in once; `base` is the account's token, `None` where that itself is asked for. The
    account comes first: accounts lock after some wrong passwords, so one sign-in proves the credential for all, and
    what is refused there is remembered and never asked again. A sign-in goes on as long as somebody waits for it.
    """

    def __init__(
        self, ask: Callable[[str, Token | None], Awaitable[Token]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._room = anyio.Semaphore(_AT_ONCE)
        self._held: dict[str, Token] = {}
        self._sign_ins: dict[str, SharedWork[Token]] = {}
        self._refused: SignInFailed | None = None
        self._refusals = 0

    async def get(self, project_id: str) -> Token:
        """A token that is good, signed in for if need be. Raises `SignInFailed`, to all that waited for the same."""
        token = self._held.get(project_id)
        if token is not None and self._clock() < token.good_until:
            return token
        work = self._sign_ins.get(project_id)
        if work is None or not work.can_be_joined:
            sign_in = partial(self._sign_in, project_id) if project_id else self._prove
            work = self._sign_ins[project_id] = SharedWork(sign_in)
        try:
            return await work.result()
        finally:
            if not work.can_be_joined and self._sign_ins.get(project_id) is work:
                del self._sign_ins[project_id]

    @property
    def account(self) -> Token | None:
        """The account's own token, if there is one."""
        return self._held.get("")

    def left(self, token: Token) -> float:
        """Seconds until a token should be renewed."""
        return max(0.0, token.good_until - self._clock())

    def forget(self, project_id: str, headers: Mapping[str, str]) -> None:
        """These headers were refused. A late answer to an old token leaves the new one alone."""
        token = self._held.get(project_id)
        if token is not None and token.headers.items() <= headers.items():
            token.refuse()

    async def _prove(self) -> Token:
        async with self._room:
            if self._refused is not None:
                raise self._refused.again()
            try:
                return await self._take("", None)
            except SignInFailed as error:
                if error.reply.whole_account:
                    self._refused = error
                raise

    async def _sign_in(self, project_id: str) -> Token:
        known = project_id in self._held
        try:
            while True:
                base = await self.get("")
                async with self._room:
                    # The proof may have been withdrawn, by the next lines, while this one waited for room.
                    if self._held.get("") is base:
                        return await self._take(project_id, base)
        except SignInFailed as error:
            if error.reply.verdict is not Verdict.UNAUTHORIZED or error.reply.whole_account:
                raise
            self._refusals += 1
            if not known and self._refusals < _DOUBTED:
                raise
            # It worked before: perhaps the password is another one now, and the next project would be refused too.
            self._held.pop("", None)
            await self.get("")
            raise

    async def _take(self, project_id: str, base: Token | None) -> Token:
        asked_at = self._clock()
        token = await self._ask(project_id, base)
        token.hold(asked_at)
        self._held[project_id] = token
        self._refusals = 0
        return token
