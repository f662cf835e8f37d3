"""Credentials: what goes beside a request so that the gateway lets it in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from inspect import isawaitable, iscoroutinefunction
from types import MethodType
from typing import Any, Protocol, Self

from sdrs_async.errors import AuthenticationError, ConfigError
from sdrs_async.models import Reply, Request, Verdict


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

    def again(self) -> Self:
        """The same, for another task to raise: a traceback belongs to one, and so does a reply, which is not frozen."""
        other = copy(self)
        other.reply = replace(self.reply)
        return other


@dataclass(slots=True)
class SignInCounts:
    """How often somebody was signed in, failures included, and how many of these were throttled, or refused.

    `account`: what the log calls who signs in.
    """

    account: str = "the account"
    asked: int = 0
    throttled: int = 0
    refused: int = 0

    def used_by(self, account: str) -> None:
        """An account of this name signs in with it from now on; the only one of `clean()` and `stream()` has none."""
        self.account = account or "the account"

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


@dataclass(frozen=True, slots=True)
class Traits:
    """What a credential has beside its two methods, with what counts where it lacks that: nobody else asks it.

    `sign` and `prepare` raise `ConfigError` when they are called and are not `async`; `prepare` is `None` where nobody
    has to sign in. `identity`: of the key, where there is `one_key`. `counts`: its sign-ins; `counts_itself`: it is the
    credential that counts and logs them. `region`, `endpoint_override` and `iam_endpoint`: where its source says that
    it is good; `files`: of certificates and keys, that it signs in with.
    """

    auth: Auth
    sign: Callable[..., Awaitable[Mapping[str, str]]]
    prepare: Callable[[str], Awaitable[float]] | None
    one_key: bool
    identity: object
    verify: bool | str
    counts: SignInCounts
    counts_itself: bool
    region: str | None
    endpoint_override: str | None
    iam_endpoint: str | None
    files: tuple[str, ...]

    @classmethod
    def of(cls, auth: Auth) -> Traits:
        """Those of any object with the two methods."""
        counts: object = getattr(auth, "sign_ins", None)
        return cls(
            auth,
            _awaitable(auth, "sign"),
            _awaitable(auth, "prepare") if getattr(auth, "prepare", None) is not None else None,
            one_key=bool(getattr(auth, "one_key", False)),
            # A bound method is equal to one of the same object alone, and keeps it: nobody else gets its id meanwhile.
            identity=MethodType(id, auth) if (identity := getattr(auth, "identity", None)) is None else identity,
            verify=getattr(auth, "verify", True),
            counts=counts if isinstance(counts, SignInCounts) else SignInCounts(),
            counts_itself=isinstance(counts, SignInCounts),
            region=getattr(auth, "region", None),
            endpoint_override=getattr(auth, "endpoint_override", None),
            iam_endpoint=getattr(auth, "iam_endpoint", None),
            files=tuple(getattr(auth, "files", ())),
        )

    def lock(self, name: str, iam_endpoint: str | None) -> object:
        """What a few refusals lock, of this account: its key or user, equal for accounts that share that.

        What cannot be told apart from others is the account's own.
        """
        if self.one_key:
            return self.identity
        # Its repr names the cloud that it signs in to.
        return (name,) if self.prepare is None else (repr(self.auth), iam_endpoint)

    def secrets(self) -> Iterable[str]:
        """What it holds now: another sign-in may bring others."""
        secrets: Iterable[str] = getattr(self.auth, "secrets", ())
        return secrets


def _awaitable(auth: object, name: str) -> Callable[..., Awaitable[Any]]:
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
