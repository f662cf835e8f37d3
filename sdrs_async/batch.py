"""The two doors of the library: `clean()` returns one report, `stream()` hands out each outcome as it settles."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sdrs_async.accounts import Account
from sdrs_async.arguments import check
from sdrs_async.auth import Auth
from sdrs_async.discovery import Selection
from sdrs_async.models import Limits, RetryPolicy
from sdrs_async.reading import READ_AHEAD, Targets
from sdrs_async.report import Report
from sdrs_async.run import Run
from sdrs_async.session import Session

__all__ = ["clean", "stream"]

_NAME = ""


async def clean(
    targets: Targets | Selection,
    *,
    endpoint: str,
    auth: Auth,
    limits: Limits | None = None,
    retry: RetryPolicy | None = None,
    read_ahead: int = READ_AHEAD,
    iam_endpoint: str | None = None,
    ca_file: str | None = None,
    allow_http: bool = False,
) -> Report:
    """Delete the failed tasks of every target and return the report; what is deleted is gone for good.

    `targets`: an iterable or async iterable of `Target` or 2-tuples, or a mapping of project id to an iterable of group
    ids; read lazily, at most `read_ahead` of a flat one are held. Or a `Selection`, whose projects and groups are found
    on the way; all projects are listed at `iam_endpoint`. `endpoint`: the service's URL, `https` unless it is on this
    machine or `allow_http` is set. `ca_file`: PEM certificates to trust there and at `iam_endpoint`, instead of the
    system's; `auth` may have one of its own to sign in with. `limits` and `retry` default to `Limits()` and
    `RetryPolicy()`.

    The limits hold within this call: two calls at the same time do not share them. A session does, see `connect()`.

    A target's failure is data in the report. Raises `ConfigError` for bad arguments before anything is read, and for a
    bad item, `AuthenticationError` when no account could sign in, and whatever the caller's own iterator raises, as it
    is. Cancelling the caller cancels the run at once: nothing is sent any more, and nothing is left behind. What ends
    it carries the report so far as `report`, the cancellation too: of the `TimeoutError` of `asyncio.timeout` that is
    the `__cause__`.
    """
    account = Account(
        _NAME, endpoint, auth, iam_endpoint, limits=_limits(limits), ca_file=ca_file, allow_http=allow_http
    )
    async with _session(account, retry, read_ahead) as session:
        return await session.clean(targets)


@asynccontextmanager
async def stream(
    targets: Targets | Selection,
    *,
    endpoint: str,
    auth: Auth,
    limits: Limits | None = None,
    retry: RetryPolicy | None = None,
    read_ahead: int = READ_AHEAD,
    iam_endpoint: str | None = None,
    ca_file: str | None = None,
    allow_http: bool = False,
) -> AsyncGenerator[Run]:
    """Run like `clean()`, and hand out each outcome as it settles: `async with stream(...) as run: async for ...`.

    The limits hold within this call: two calls at the same time do not share them. A session does, see `connect()`.
    At most about 1,000 outcomes wait for a slow consumer, then the run waits too. Leaving the context before the
    iteration has ended cancels the rest; `run.report` then counts it as unsettled.
    """
    account = Account(
        _NAME, endpoint, auth, iam_endpoint, limits=_limits(limits), ca_file=ca_file, allow_http=allow_http
    )
    async with _session(account, retry, read_ahead) as session, session.stream(targets) as run:
        yield run


def _limits(given: Limits | None) -> Limits:
    check(given is None or isinstance(given, Limits), "limits", "a Limits or None", given)
    return Limits() if given is None else given


def _session(account: Account, retry: RetryPolicy | None, read_ahead: int) -> Session:
    return Session((account,), account.limits.concurrency, retry, read_ahead)
