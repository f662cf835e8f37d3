"""The two doors of the library, `clean()` and `stream()`, and what else `import sdrs_async` offers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from inspect import isclass
from typing import get_type_hints

from sdrs_async.accounts.account import Account
from sdrs_async.accounts.connecting import Fleet, load_fleet
from sdrs_async.accounts.selection import Selection
from sdrs_async.auth import Auth, SignInFailed
from sdrs_async.cleanup.plan import Plan
from sdrs_async.cleanup.spool import Extent
from sdrs_async.cloud.listing import FailedTask, Group, ListingError, Project
from sdrs_async.credentials.keys import AkSk, StaticToken
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.vendor_sdk import HuaweiAuth
from sdrs_async.engine.intake import READ_AHEAD, Targets
from sdrs_async.errors import AuthenticationError, ConfigError, JournalError, SdrsError, check
from sdrs_async.limits import Learned, Limits, Rate, RetryPolicy, UsedUp
from sdrs_async.models import Outcome, ProjectLevel, Request, Target, Verdict
from sdrs_async.pace.floor import Floor
from sdrs_async.report import Failure, Report, Totals, Unlisted
from sdrs_async.run import Finding, Run
from sdrs_async.session import Lists, Session, connect

__all__ = [
    "Account", "AkSk", "Auth", "AuthenticationError", "ConfigError", "Extent", "FailedTask", "Failure", "Finding",
    "Fleet", "Floor", "Group", "HuaweiAuth", "JournalError", "KeystoneAuth", "Learned", "Limits", "ListingError",
    "Lists", "Outcome", "Plan", "Project", "ProjectLevel", "Rate", "Report", "Request", "RetryPolicy", "Run",
    "SdrsError", "Selection", "Session", "SignInFailed", "StaticToken", "Target", "Totals", "Unlisted", "UsedUp",
    "Verdict", "clean", "connect", "load_fleet", "stream",
]  # fmt: skip


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
    account = Account("", endpoint, auth, iam_endpoint, limits=_limits(limits), ca_file=ca_file, allow_http=allow_http)
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
    account = Account("", endpoint, auth, iam_endpoint, limits=_limits(limits), ca_file=ca_file, allow_http=allow_http)
    async with _session(account, retry, read_ahead) as session, session.stream(targets) as run:
        yield run


def _limits(given: Limits | None) -> Limits:
    check(given is None or isinstance(given, Limits), "limits", "a Limits or None", given)
    return Limits() if given is None else given


def _session(account: Account, retry: RetryPolicy | None, read_ahead: int) -> Session:
    return Session((account,), account.limits.concurrency, retry, read_ahead)


# Where a name lives is nobody's concern outside: reprs, pickles and `help()` show the door, and stay when it moves. The
# types of its fields are worked out first, in the module that knows their names: msgspec and pydantic ask for them.
for _each in map(globals().__getitem__, __all__):
    if isclass(_each):
        _each.__annotations__ = get_type_hints(_each)
    _each.__module__ = "sdrs_async"
