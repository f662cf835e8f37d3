"""Credentials: what goes beside a request so that the gateway lets it in."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Protocol

from sdrs_async.errors import AuthenticationError, ConfigError
from sdrs_async.models import Reply, Request, Verdict
from sdrs_async.redaction import Secrets, hidden_of_key, shown_key
from sdrs_async.signing import Signer

__all__ = ["AkSk", "Auth", "SignInCounts", "SignInFailed", "StaticToken", "awaitable", "check_secret"]


class Auth(Protocol):
    """Any object with these two methods can sign requests. Some more attributes count where it has them.

    `one_key` (`bool`): all projects share one key, which the gateway locks after more than five refusals; one read
    proves it before anything else is sent, and its first refusal stops them all. `identity`: what tells the key from
    others, so that accounts that sign with the same one share that proof; without it, the object itself.
    `async prepare(project_id) -> float`: sign in to a project; the seconds for which that is good. Called before a
    project's first request, and again when they are over or `invalidate` was true; holds no slot. Raises like `sign`.
    `secrets` (iterable of `str`): what it holds, beside the headers that it signs with; no text of an error shows it.
    `verify` (`bool | str`): as clouds.yaml has it, whether certificates are checked, or the CA file to check them with.
    """

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """Headers to send with the request, fresh for every try; an empty `project_id` is the account itself, at IAM.

        Raises `AuthenticationError` if sign-in fails: `SignInFailed` says whether another try may do better.
        """
        ...

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """These headers were refused; true if another `sign` may do better."""
        ...


class SignInFailed(AuthenticationError):
    """No credential could be had. `reply`: what that means for the request that needed it.

    `verdict`: `UNAUTHORIZED` is final, for the project or, with `whole_account`, for all of them; `THROTTLED`,
    `TRANSIENT` and `UNREACHABLE` are worth another try, unless `retryable` is false. `retry_after`: seconds that the
    server asked for; `error_code`: its own, `IAM.0012` for instance.
    """

    def __init__(
        self,
        message: str,
        *,
        verdict: Verdict = Verdict.UNAUTHORIZED,
        whole_account: bool = False,
        retry_after: float | None = None,
        timed_out: bool = False,
        error_code: str | None = None,
        retryable: bool = True,
    ) -> None:
        super().__init__(message)
        self.reply = Reply(
            verdict, error_code=error_code, message=message, retry_after=retry_after, scope="sign-in",
            timed_out=timed_out, sent=False, whole_account=whole_account,
            retryable=retryable and verdict is not Verdict.UNAUTHORIZED,
        )  # fmt: skip


@dataclass(slots=True)
class SignInCounts:
    """How often somebody was signed in, failures included, and how many of these were throttled, or refused.

    `account`: what the log calls who signs in.
    """

    account: str = "the account"
    asked: int = 0
    throttled: int = 0
    refused: int = 0

    def belong_to(self, account: str) -> None:
        """They are those of this account."""
        self.account = account

    def ask(self) -> None:
        """Count one that begins."""
        self.asked += 1

    def fail(self, verdict: Verdict) -> None:
        """What came of it, where it failed."""
        self.throttled += verdict is Verdict.THROTTLED
        self.refused += verdict is Verdict.UNAUTHORIZED

    def take(self) -> tuple[int, int, int]:
        """The three since this was last asked for, so that each is in one report only."""
        taken = self.asked, self.throttled, self.refused
        self.asked = self.throttled = self.refused = 0
        return taken


class _Hidden(dict[str, str]):
    """Headers whose values `vars()` of their holder does not show."""

    def __repr__(self) -> str:
        return "{***}"


class StaticToken:
    """One token for every selected project; it cannot be renewed, so a refusal is final."""

    def __init__(self, token: str) -> None:
        check_secret("the token", token)
        self._headers = _Hidden({"X-Auth-Token": token})
        self.secrets = Secrets((token,))

    def __repr__(self) -> str:
        return "StaticToken(***)"

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """The token's header."""
        return self._headers

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """Always false: there is no other token."""
        return False


class AkSk:
    """An access key and its secret key, with `security_token` a temporary pair; every try is signed anew.

    `scope`: region and service, for the older `Credential=` form of the signature. `iam_endpoint`: where the keys are
    known, if their source says so. `clock`: seconds since the epoch; the gateway refuses 15 minutes of difference.
    Raises `ConfigError` for what cannot be a key.
    """

    one_key = True

    def __init__(
        self,
        access_key: str,
        secret_key: str,
        security_token: str | None = None,
        *,
        scope: tuple[str, str] | None = None,
        iam_endpoint: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_secret("the access key", access_key)
        check_secret("the secret key", secret_key)
        if security_token is not None:
            check_secret("the security token", security_token)
        self.iam_endpoint = iam_endpoint
        self.identity = access_key
        self._signer = Signer(access_key, secret_key, scope)
        self._token = _Hidden({} if security_token is None else {"X-Security-Token": security_token})
        self.secrets = Secrets((secret_key, security_token or "", hidden_of_key(access_key)))
        self._clock = clock
        self._second = -1
        self._date = ""

    def __repr__(self) -> str:
        return f"AkSk({shown_key(self.identity)})"

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """The signature and the headers it covers, `Host` among them, so that what is signed is what goes out."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._date = second, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        headers = {"Host": request.host, "X-Sdk-Date": self._date}
        signed = {"host": request.host, "x-sdk-date": self._date}
        if project_id:
            headers["X-Project-Id"] = signed["x-project-id"] = project_id
        for name, token in self._token.items():
            headers[name] = signed[name.lower()] = token
        headers["Authorization"] = self._signer.authorization(request.method, request.path, request.query, signed)
        return headers

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """Always false: the same key would be refused again, and locked after a few times."""
        return False


def check_secret(place: str, value: object) -> None:
    """Raise `ConfigError`, which names the place and never shows the value, for what no token or key looks like."""
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{place} is empty or holds characters that no token or key has (a line break, perhaps)")


def awaitable(auth: object, name: str) -> Callable[..., Awaitable[Any]]:
    """A method of a credential that has to be `async`. Where it is not, it raises `ConfigError` when it is called.

    A plain function may well return a coroutine, another credential's for instance, so only its result can tell.
    """
    method: Callable[..., Any] = getattr(auth, name)
    if iscoroutinefunction(method):
        return method

    def checked(*args: object) -> Awaitable[Any]:
        result = method(*args)
        if not isawaitable(result):
            raise ConfigError(f"the `{name}` of {type(auth).__name__} must be `async def`: it returned at once")
        return result

    return checked
