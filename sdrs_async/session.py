"""Accounts that work together: their HTTP sessions, credentials and limits, shared by all that is done with them.

The only module that knows all the parts: it puts clients, fleet, engine and report together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Self, cast

import anyio

from sdrs_async.accounts.account import Account, client_of
from sdrs_async.accounts.selection import Selection
from sdrs_async.cleanup.discovery import Discovery
from sdrs_async.cleanup.plan import Plan, keep
from sdrs_async.cleanup.spool import Spool
from sdrs_async.cloud import listing
from sdrs_async.cloud.client import Client
from sdrs_async.cloud.listing import Ask, FailedTask, Group, Project
from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import READ_AHEAD, Intake, Reader, Targets, sources
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.users import User
from sdrs_async.errors import ConfigError, check, is_whole
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Outcome, ProjectLevel, Target
from sdrs_async.pace.floor import Scopes
from sdrs_async.report import Ledger, Report
from sdrs_async.run import Finding, Run, Running, driving, settle

# Seconds: connections are closed even by who is cancelled.
_CLOSING = 3.0
# Accounts that a repr names.
_SHOWN = 3

Selected = Targets | Selection | Plan | Mapping[Account, Targets | Selection]
"""Targets, or what to look for, of several accounts with the account of each; or a plan, which knows whose they are."""


def connect(
    accounts: Account | Iterable[Account],
    *,
    concurrency: int | None = Limits().concurrency,
    retry: RetryPolicy | None = None,
    read_ahead: int = READ_AHEAD,
) -> Session:
    """A session of these accounts, to be entered with `async with`.

    `concurrency`: requests at a time over all of them, `None` for no cap; `retry` defaults to `RetryPolicy()`;
    `read_ahead`: targets held of a flat iterable. Raises `ConfigError` for what cannot be used; nothing is sent.
    """
    return Session(_accounts(accounts), Limits(concurrency=concurrency).concurrency, retry, read_ahead)


def _accounts(given: object) -> tuple[Account, ...]:
    every = tuple(given) if isinstance(given, Iterable) else (given,)
    for one in every:
        check(isinstance(one, Account), "accounts", "an Account, or several of them", one, secret=True)
        check(bool(one.name), "the name of an account", "text, and not empty", one.name)
    return every


class Session:
    """Everything that several runs over the same accounts share; the limits hold over all of them together.

    One run at a time. Comes from `connect()`.
    """

    def __init__(
        self, accounts: tuple[Account, ...], concurrency: int | None, retry: RetryPolicy | None, read_ahead: int
    ) -> None:
        names = [account.name for account in accounts]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"a session needs one account or more, each with a name of its own, not {names!r:.80}")
        check(is_whole(read_ahead), "read_ahead", "a whole number of at least 1", read_ahead)
        self.accounts = accounts
        check(retry is None or isinstance(retry, RetryPolicy), "retry", "a RetryPolicy or None", retry)
        self.concurrency = concurrency
        self._retry = RetryPolicy() if retry is None else retry
        self._read_ahead = read_ahead
        self._fleet = Fleet(concurrency)
        pairs = [(account, client_of(account, self._retry, concurrency)) for account in accounts]
        self._clients = [client for _, client in pairs]
        limits = {account.name: account.limits for account in accounts}
        self._scopes = Scopes(limits, {account.name: client.site.endpoint for account, client in pairs}, concurrency)
        self._users = {account.name: self._user(account, client) for account, client in pairs}
        self._stack = AsyncExitStack()
        self._runs: set[Running[Any]] = set()
        self._entered = False

    def __repr__(self) -> str:
        places = [f"{user.called} at {user.endpoint.name}" for user in self._fleet.users]
        more = f" and {len(places) - _SHOWN:,} more" * (len(places) > _SHOWN)
        return f"<Session of {', '.join(places[:_SHOWN])}{more}, concurrency={self.concurrency}>"

    def _user(self, account: Account, client: Client) -> User:
        limits = replace(account.limits, endpoint_rate=self._scopes.endpoint_rate(account.name))
        return self._fleet.user(
            account.name, client.site.endpoint, client.send, limits,
            sign_in=None if client.traits.prepare is None else client.sign_in,
            one_key=client.traits.one_key, identity=client.traits.identity,
            weight=account.weight, counts=client.traits.counts,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        check_loop()
        if self._entered:
            raise ConfigError("this session is in use already: enter it once, and share it")
        async with AsyncExitStack() as stack:
            for client in self._clients:
                await stack.enter_async_context(client)
            self._stack = stack.pop_all()
        self._entered = True
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._entered = False
        with anyio.move_on_after(_CLOSING, shield=True):
            for run in list(self._runs):  # of other tasks: else they would meet closed connections, and say so
                text = "the session was left while a run of it was under way: let that end first"
                await run._give_up(ConfigError(text))
        with anyio.move_on_after(_CLOSING, shield=True):
            await self._stack.aclose()

    @contextmanager
    def _begun(self, run: Running[Any], targets: Selected | _Open) -> Iterator[list[Reader]]:
        """The readers of a run, which is under way until the block is left; `_Open` keeps it going."""
        readers: list[Reader] = [targets] if isinstance(targets, _Open) else self._readers(targets, run)
        self._runs.add(run)
        try:
            yield readers
        finally:
            self._runs.discard(run)

    def _check_entered(self) -> None:
        if not self._entered:
            raise ConfigError("a session works inside `async with connect(...) as session:` only, not before or after")

    # ---- deleting

    async def clean(self, targets: Selected) -> Report:
        """Like `sdrs_async.clean()`, over the accounts of this session; of a plan exactly what is in it."""
        self._check_entered()
        report = self._report()
        run = Run(Engine(self._fleet, report.add, self._retry), report)
        with self._begun(run, targets) as readers:
            await settle(run, readers)
        return report

    @asynccontextmanager
    async def stream(self, targets: Selected, *, report: Report | None = None) -> AsyncGenerator[Run]:
        """Like `sdrs_async.stream()`, over the accounts of this session. `report`: that of a finding, to go on with."""
        self._check_entered()
        check(report is None or isinstance(report, Ledger), "report", "the Report of a finding, or None", report)
        counted = report if isinstance(report, Ledger) else self._report()

        def deliver(outcome: Outcome) -> None:
            counted.add(outcome)
            run._hand_out(outcome)

        run = Run(Engine(self._fleet, deliver, self._retry), counted)
        with self._begun(run, targets) as readers:
            async with driving(run, readers):
                yield run

    # ---- reading

    @asynccontextmanager
    async def find(self, targets: Selected) -> AsyncGenerator[Finding]:
        """The targets of a selection as they are found, and nothing deleted: `async with ... as f: async for ...`."""
        self._check_entered()
        report = self._report()

        def hand_out(target: Target | ProjectLevel, account: str) -> None:
            finding._hand_out_of(account, target)

        finding = Finding(Engine(self._fleet, report.add, self._retry, accept=hand_out), report)
        with self._begun(finding, targets) as readers:
            async with driving(finding, readers):
                yield finding

    @asynccontextmanager
    async def plan(self, targets: Selected) -> AsyncGenerator[Plan]:
        """What there is of a selection, or of given targets, kept on disk until the block is left; nothing is deleted.

        `clean(plan)` and `stream(plan)` delete exactly that, and nothing that has appeared meanwhile. What stops the
        search is raised before the block begins.
        """
        with Spool(account.name for account in self.accounts) as spool:
            async with self.find(targets) as finding:
                await keep(finding, spool, self.accounts)
            yield Plan(self.accounts, spool, self.concurrency, finding)

    @asynccontextmanager
    async def lists(self) -> AsyncGenerator[Lists]:
        """The lists of the service one by one, within the limits of this session."""
        self._check_entered()
        report = self._report()
        run = Run(Engine(self._fleet, report.add, self._retry), report)
        with self._begun(run, _Open()) as readers:
            async with driving(run, readers):
                yield Lists(run, self._user_of)

    # ---- putting a run together

    def _report(self) -> Ledger:
        return Ledger(self._scopes, clock=asyncio.get_running_loop().time)

    def _readers(self, targets: Selected, run: Running[Any]) -> list[Reader]:
        by_account = self._by_account(targets).items()
        return [reader for account, its in by_account for reader in self._readers_of(account, its, run)]

    def _by_account(self, targets: Selected) -> Mapping[Account, Targets | Selection]:
        if isinstance(targets, Plan):
            return {account: targets.targets(account.name) for account in targets.accounts}
        if isinstance(targets, Mapping) and targets and all(isinstance(key, Account) for key in targets):
            return cast(Mapping[Account, Targets | Selection], targets)
        if len(self.accounts) > 1:
            raise ConfigError("with several accounts, targets are a mapping from each Account to its targets")
        return {self.accounts[0]: targets}

    def _user_of(self, account: Account) -> User:
        """Not by its name alone: another session's account may have the same one."""
        if account not in self.accounts:
            raise ConfigError(f"account {account.name} is not one of this session")
        return self._users[account.name]

    def _readers_of(self, account: Account, targets: Targets | Selection, run: Running[Any]) -> Iterable[Reader]:
        user = self._user_of(account)
        if not isinstance(targets, Selection):
            return sources(targets, self._read_ahead, user)
        if targets.ids() is None and account.iam_endpoint is None:
            raise ConfigError(f"{user.called}: projects are listed by IAM: give its endpoint, or the projects' ids")
        discovery = Discovery(
            account, user, targets, ask=partial(run._ask, user), report=run.report, read_ahead=self._read_ahead,
        )  # fmt: skip
        run.projects[account.name], run.left_out[account.name] = discovery.found, discovery.left_out
        return [discovery]


class _Open:
    """Keeps an engine running for whoever asks it, until it is cancelled."""

    async def read(self, intake: Intake) -> None:
        await anyio.sleep_forever()


class Lists:
    """The lists of a session's accounts, as async iterators that are a page ahead at most.

    Each raises `ListingError` where the list cannot be read, or not to its end. Comes from `Session.lists()`.
    """

    def __init__(self, run: Run, user_of: Callable[[Account], User]) -> None:
        self._run = run
        self._user_of = user_of

    def projects(self, account: Account) -> AsyncGenerator[Project]:
        """The projects that an account may use, those included that have no SDRS."""
        return listing.projects(self._ask(account))

    def groups(self, account: Account, project_id: str) -> AsyncGenerator[Group]:
        """The protection groups of a project."""
        return listing.groups(self._ask(account), project_id)

    def failed_tasks(
        self, account: Account, project_id: str, server_group_id: str | None = None
    ) -> AsyncGenerator[FailedTask]:
        """The failed tasks inside a group; without one those of the project's own level."""
        return listing.failed_tasks(self._ask(account), project_id, server_group_id)

    def _ask(self, account: Account) -> Ask:
        check(isinstance(account, Account), "account", "an Account of this session", account, secret=True)
        return partial(self._run._ask, self._user_of(account))


def check_loop() -> None:
    """Raise `ConfigError` unless the caller is a task of asyncio; a loop that trio runs beside its own is no help."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is None:
        raise ConfigError(
            "sdrs_async runs on asyncio, also with uvloop; under trio, start it in a thread of its own with "
            "asyncio.run(...)"
        )
