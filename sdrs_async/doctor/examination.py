"""Looking at accounts one check after the other: the way there, the clock, the credential, what it may list.

Deletes nothing, and cannot lock a key: one signed request is sent with it, and no other unless that was let in.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from sdrs_async.accounts.account import Account, client_of
from sdrs_async.auth import Traits
from sdrs_async.cloud import listing
from sdrs_async.cloud.calls import check_id, groups_page, projects_page
from sdrs_async.cloud.listing import ListingError
from sdrs_async.cloud.sites import Site
from sdrs_async.doctor import diagnosis
from sdrs_async.doctor.diagnosis import Found, State, failed, passed, skipped
from sdrs_async.errors import ConfigError, placed, single_error
from sdrs_async.limits import Rate, RetryPolicy
from sdrs_async.models import Listing, Reply, Verdict
from sdrs_async.pace.meter import Gate
from sdrs_async.transport.threads import Lookups
from sdrs_async.transport.trust import trusted

CHECKS = ("endpoint", "TLS", "clock", "IAM", "credential", "project listing", "group listing", "latency")
"""The names of the checks, in their order."""

_READS = 5
_ACCOUNTS_AT_ONCE = 16
# More than five in a row lock a key (vendor's FAQ on signing), whichever region they come from. One says little: the
# secret of another account may be right.
_REFUSALS = 2
# Seconds between two looks whether another account's request has left room at the endpoint that they share.
_LOOK = 0.02


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked. `detail`: what was seen, or why it was skipped; `remedy`: what to do about it.

    Both are one line each, hold no secret, and are not escaped: a part of them may be a server's words.
    """

    account: str
    name: str
    state: State
    detail: str
    remedy: str = ""


@asynccontextmanager
async def examine(
    accounts: Account | Iterable[Account],
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - of each check, of which there are many
    project_id: str | None = None,
) -> AsyncGenerator[AsyncGenerator[Check]]:
    """All `CHECKS` of each account, as they end: `async with examine(...) as checks: async for check in checks`.

    Accounts are examined together, within their limits, and told in turn. `timeout`: seconds for each check;
    `project_id`: whose groups are listed, else the first usable one's. Raises `ConfigError` before anything is sent.
    """
    if not timeout > 0:
        raise ConfigError(f"the time for a check must be above 0 seconds, not {timeout:g}")
    if project_id is not None:
        check_id("project_id", project_id)
    given = (accounts,) if isinstance(accounts, Account) else tuple(accounts)
    gates: dict[str, Gate] = {}
    shared: dict[object, _Credential] = {}
    examinations = [_Examination(account, timeout, project_id, gates, shared) for account in given]
    room = anyio.CapacityLimiter(_ACCOUNTS_AT_ONCE)
    with single_error(), ExitStack() as streams:
        results = []
        async with anyio.create_task_group() as tasks:
            for examination in examinations:
                tell, told = anyio.create_memory_object_stream[Check](len(CHECKS))
                results.append(streams.enter_context(told))
                tasks.start_soon(examination.run, room, streams.enter_context(tell))
            async with aclosing(check for told in results async for check in told) as checks:
                yield checks
            tasks.cancel_scope.cancel()


@dataclass(slots=True)
class _Credential:
    """A key or user that accounts share. `turn`: held by the one that tries it; `refused_for`: whom it failed."""

    turn: anyio.Lock = field(default_factory=anyio.Lock)
    refused_for: list[str] = field(default_factory=list)

    def note(self, reply: Reply, account: str) -> None:
        """What an account was answered that tried it."""
        if reply.verdict is Verdict.UNAUTHORIZED and not diagnosis.is_proof(reply):
            self.refused_for.append(account)

    def given_up(self) -> Found | None:
        """Why it is not tried again, where it was refused so often."""
        others = " and ".join(self.refused_for)
        text = f"not tried again, and so not locked: the same one was refused for accounts {others}"
        return skipped(text) if len(self.refused_for) >= _REFUSALS else None


class PacedClient:
    """One request of an account at a time, at its rates, tried once. `client` is entered and left by its owner.

    `seconds`: for each request; `endpoints`: the gates that accounts share. Raises `ConfigError`.
    """

    def __init__(self, account: Account, seconds: float, endpoints: dict[str, Gate]) -> None:
        limits = account.limits
        self.client = client_of(account, RetryPolicy(timeout=seconds), limits.concurrency)
        self.seconds = seconds
        self._endpoint = endpoints.setdefault(self.client.site.endpoint, Gate(Rate.parse(limits.endpoint_rate)))
        self._user = Gate(Rate.parse(limits.user_rate))
        self._projects = {at_iam: Gate(Rate.parse(limits.project_rate)) for at_iam in (False, True)}

    def until(self) -> float:
        """The loop's time at which the time for what is asked from now on is over."""
        return anyio.current_time() + self.seconds

    async def greet(self, *, at_iam: bool) -> Reply:
        """As `Client.greet`."""
        return await self._paced(lambda left: self.client.greet(left, at_iam), self.until(), (self._endpoint,))

    async def sign_in(self) -> Reply:
        """Sign the account in; `READ` without a status where that went well."""
        result = await self.client.sign_in("", self.seconds)
        return result if isinstance(result, Reply) else Reply(Verdict.READ)

    async def ask(self, page: Listing, until: float) -> Reply:
        """The reply to a page by the loop's time `until`; its verdict is `SKIPPED` where that left no time to ask."""
        gates = (self._endpoint, self._user, self._projects[page.at_iam])
        return await self._paced(lambda left: self.client.send(page, left), until, gates)

    async def _paced(self, send: Callable[[float], Awaitable[Reply]], until: float, gates: Sequence[Gate]) -> Reply:
        """What `send`, told the seconds that are left, answers; it has its turn when all gates are due."""
        while (due := max(gate.due() for gate in gates)) > (now := anyio.current_time()) or now >= until:
            if now >= until or until <= due < math.inf:
                text = f"not done within {self.seconds:g} s, at the rates of this account"
                return Reply(Verdict.SKIPPED, message=text, sent=False)
            # Until infinity: only an answer to another account at this endpoint can tell.
            await anyio.sleep_until(due if due < math.inf else now + _LOOK)
        for gate in gates:
            gate.enter(now)
        late = self.seconds
        try:
            reply = await send(until - now)
            late = self.seconds if reply.timed_out else 0.0
            return reply
        finally:
            now = anyio.current_time()
            for gate in gates:
                gate.leave(now, late)


class _Examination:
    """The examination of one account. `gates` and `shared`: of endpoints, and by `Traits.lock`."""

    def __init__(
        self,
        account: Account,
        seconds: float,
        project_id: str | None,
        gates: dict[str, Gate],
        shared: dict[object, _Credential],
    ) -> None:
        with placed(f"account {account.name}"):
            self._paced = PacedClient(account, seconds, gates)
        self._account = account
        self._project_id = project_id
        self._shared = shared
        self._credential = _Credential()
        self._site, self._iam = self._paced.client.site, self._paced.client.iam
        self._traits = self._paced.client.traits
        self._one_key, self._signs_in = self._traits.one_key, self._traits.prepare is not None
        self._known: dict[Listing, Reply] = {}
        self._states: dict[str, State] = {}

    async def run(self, room: anyio.CapacityLimiter, tell: MemoryObjectSendStream[Check]) -> None:
        """Do all checks in their order, and tell each as it ends."""
        with tell:
            async with room, self._paced.client, aclosing(self._checks()) as checks:
                for name in CHECKS:
                    found = await anext(checks)
                    self._states[name] = found.state
                    await tell.send(Check(self._account.name, name, *found))

    async def _checks(self) -> AsyncGenerator[Found]:
        greeting = await self._paced.greet(at_iam=False)
        yield await self._reach(greeting, self._site)
        yield self._tls(greeting, self._site)
        yield diagnosis.clock(greeting, datetime.now(UTC))
        yield await self._check_iam()
        yield await self._check_credential()
        yield await self._check_projects()
        yield await self._check_groups()
        yield await self._check_latency()

    def _is_well(self, *names: str) -> bool:
        return all(self._states[name] is not State.FAIL for name in names)

    async def _check_iam(self) -> Found:
        if self._iam is None:
            return skipped("not used: its endpoint is not given")
        if self._project_id is not None and not self._signs_in:
            return skipped("not used: the project is given")
        reply = await self._paced.greet(at_iam=True)
        tls = self._tls(reply, self._iam)
        return tls if tls.state is State.FAIL else await self._reach(reply, self._iam, at_iam=True)

    async def _reach(self, reply: Reply, site: Site, *, at_iam: bool = False) -> Found:
        is_known = reply.status_code is not None or reply.timed_out or await self._has_address(site)
        return diagnosis.reach(reply, site, at_iam=at_iam, name_is_known=is_known)

    async def _has_address(self, site: Site) -> bool:
        url = site.proxy or site.base
        try:
            return bool(await Lookups(self._paced.seconds).resolve(url.host or "", url.port or 0))
        except OSError:
            return False

    def _tls(self, reply: Reply, site: Site) -> Found:
        trust = trusted(self._account.ca_file, self._traits.verify)
        return diagnosis.tls(reply, site, verified=trust.checked, trusted=trust.path)

    async def _check_credential(self) -> Found:
        page = self._proof()
        if (obstacle := self._obstacle(page)) is not None:
            return skipped(obstacle)
        if self._one_key and self._signs_in and not diagnosis.is_proof(reply := await self._paced.sign_in()):
            return diagnosis.credential(reply, one_key=True)  # which key it is, is known only from here on
        lock = Traits.of(self._account.auth).lock(self._account.name, self._account.iam_endpoint)
        self._credential = self._shared.setdefault(lock, _Credential())
        async with self._credential.turn:
            if (given_up := self._credential.given_up()) is not None:
                return given_up
            if page is not None and (self._one_key or not self._signs_in):
                reply = self._known[page] = await self._paced.ask(page, self._paced.until())
            else:
                reply = await self._paced.sign_in()
            self._credential.note(reply, self._account.name)
        return diagnosis.credential(reply, one_key=self._one_key)

    def _proof(self) -> Listing | None:
        """The read that proves the credential; its answer is the first page of one of the lists."""
        if self._project_id is not None:
            return groups_page(self._project_id)
        return projects_page() if self._iam is not None else None

    def _obstacle(self, page: Listing | None) -> str | None:
        """Why nothing is tried with the credential."""
        if not self._is_well("IAM"):
            return "IAM was not reached"
        if self._one_key or not self._signs_in:
            if page is None:
                return "there is nothing to read with it"
            if not page.at_iam and not self._is_well("endpoint", "TLS"):
                return "the endpoint was not reached"
        if self._one_key and not self._is_well("clock"):
            return "no signature is good while the clock is wrong, and refusals lock the key"
        return None

    async def _check_projects(self) -> Found:
        if self._project_id is not None:
            return skipped("not needed: the project is given")
        if self._iam is None:
            advice = "Give IAM's endpoint (--iam-endpoint, --region), or name a project with --project."
            return failed("IAM's endpoint is not known, and no project is given", advice)
        if self._states["credential"] is not State.PASS:
            return skipped("nobody is signed in")
        try:
            every = [project async for project in listing.projects(self._asking())]
        except ListingError as error:
            return diagnosis.listing(error.reply, of_account=True)
        usable = [project for project in every if project.why_left_out(self._account.region) is None]
        self._project_id = usable[0].id if usable else None
        return diagnosis.projects(every, usable, self._account.region)

    async def _check_groups(self) -> Found:
        if self._states["credential"] is not State.PASS:
            return skipped("nobody is signed in")
        if self._project_id is None:
            return skipped("no project is known; --project names one")
        if not self._is_well("endpoint", "TLS"):
            return skipped("the endpoint was not reached")
        async with self._credential.turn:  # what one account's IAM lets in, another's endpoint may refuse
            if (given_up := self._credential.given_up()) is not None:
                return given_up
            found = await self._count_groups(self._project_id)
        return found._replace(detail=f"project {self._project_id}: {found.detail}")

    async def _count_groups(self, project_id: str) -> Found:
        try:
            count = len([group async for group in listing.groups(self._asking(), project_id, by_count=True)])
        except ListingError as error:
            if self._one_key:
                self._credential.note(error.reply, self._account.name)
            return diagnosis.listing(error.reply, of_account=False)
        return passed(f"{count:,} {'group' if count == 1 else 'groups'}")

    async def _check_latency(self) -> Found:
        if self._project_id is None or self._states["group listing"] is not State.PASS:
            return skipped("no groups can be listed")
        until = self._paced.until()
        seconds: list[float] = []
        reply = Reply(Verdict.READ)
        while reply.verdict is Verdict.READ and len(seconds) < _READS:
            reply = await self._paced.ask(groups_page(self._project_id, limit=1), until)
            if reply.verdict is Verdict.READ:
                seconds.append(reply.elapsed)
        return diagnosis.latency(seconds, reply, _READS)

    def _asking(self) -> listing.Ask:
        """Asks for the pages of one list, which all have the time of one check; each is waited for at once."""
        until = self._paced.until()

        async def answer(page: Listing) -> Reply:
            known = self._known.pop(page, None)
            return await self._paced.ask(page, until) if known is None else known

        return lambda page: asyncio.ensure_future(answer(page))
