"""From the credentials that were chosen to accounts: endpoints, regions, and the rule that no credential goes astray.

The service's endpoint is the one that is given, else what the environment sets for the region, else what the sign-in
names, else that of the region's pattern: this only where nothing says that the credential is one of another cloud.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from random import SystemRandom
from typing import NamedTuple
from urllib.parse import urlsplit

import anyio

from sdrs_async.accounts.account import Account
from sdrs_async.accounts.sources import Source
from sdrs_async.auth import Auth, SignInCounts, SignInFailed
from sdrs_async.cloud import regions as endpoints
from sdrs_async.cloud.listing import ListingError
from sdrs_async.cloud.sites import check_endpoint
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.errors import AuthenticationError, ConfigError, single_error
from sdrs_async.formats.wording import without_owner
from sdrs_async.limits import Limits, RetryPolicy, backoff
from sdrs_async.models import Verdict
from sdrs_async.report import Ledger, Unlisted
from sdrs_async.report.remedies import is_certificate, listing_remedy
from sdrs_async.session import Session, connect
from sdrs_async.transport.trust import trusted

__all__ = ["Connected", "Connection", "Pending", "Place", "count_sign_ins", "note_lost", "pending"]

_REACH = "Check auth_url, DNS, proxy and firewall, or give a longer --timeout; then run again."


class Place(NamedTuple):
    """What is said about where an account is. `fallback`: the region, where nothing else says one; `cloud`: the domain
    that HW_CLOUD names.
    """

    endpoint: str | None = None
    region: str | None = None
    fallback: str | None = None
    iam_endpoint: str | None = None
    ca_file: str | None = None
    allow_http: bool = False
    cloud: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An account, whose endpoint may still have to be asked for (`None`). `kind`: of its credential, in words.

    `cloud`: the domain that HW_CLOUD names; `weight`: see `Account`.
    """

    name: str
    kind: str
    auth: Auth
    endpoint: str | None
    iam_endpoint: str | None = None
    region: str | None = None
    limits: Limits = field(default_factory=Limits)
    ca_file: str | None = None
    allow_http: bool = False
    cloud: str | None = None
    weight: int = 1

    def at(self, endpoint: str) -> Account:
        """The account at this endpoint. Raises `ConfigError` for one that may not be used."""
        endpoint = check_endpoint(endpoint, allow_http=self.allow_http)
        region, iam = self.region or endpoints.region_of(endpoint), self.iam_endpoint
        if iam is None and region is not None and endpoint == endpoints.by_pattern(region, self.cloud):
            iam = endpoints.iam_endpoint(region, self.cloud)
        if iam is not None:
            iam = check_endpoint(iam, allow_http=self.allow_http)
        return Account(
            self.name, endpoint, self.auth, iam, region, self.limits, self.ca_file, self.allow_http, self.weight
        )  # fmt: skip

    async def resolve(self, retry: RetryPolicy, projects: Sequence[str] = ()) -> Account:
        """The account, at the endpoint that its sign-in names; `projects`: ids of some that it should be good for.

        Raises `AuthenticationError` when the sign-in fails, `ConfigError` when nothing names an endpoint.
        """
        if self.endpoint is not None:
            return self.at(self.endpoint)
        # Others wait for this one: an IAM that hangs is given up before all its tries are over.
        seconds = min(retry.total, 2 * retry.timeout)
        try:
            with anyio.fail_after(seconds):
                endpoint = await self._asked(retry, projects)
        except TimeoutError:
            text = f"nothing named the endpoint within {seconds:g} s"
            raise SignInFailed(text, verdict=Verdict.UNREACHABLE, timed_out=True) from None
        return self.at(endpoint or _by_region(self.name, self.region, self.iam_endpoint, self.cloud))

    async def _asked(self, retry: RetryPolicy, projects: Sequence[str]) -> str | None:
        """What the token of the account names, or else that of a project: the first of these that lets it in."""
        if not isinstance(self.auth, KeystoneAuth):
            return None
        self.auth.sign_ins.used_by(self.name)
        if endpoint := await _ask(self.auth, retry, None):
            return endpoint
        for project_id in projects[:1]:
            try:
                return await _ask(self.auth, retry, project_id)
            except SignInFailed as error:  # the next one may know better, unless it is the account's own fault
                if error.reply.whole_account or error.reply.retryable:
                    raise
        listed = await self._first_listed(retry)
        return await _ask(self.auth, retry, listed) if listed is not None else None

    async def _first_listed(self, retry: RetryPolicy) -> str | None:
        """The first project that may have the service; IAM alone is asked."""
        account = self.at(self.iam_endpoint or "")
        try:
            async with (
                connect(account, retry=retry) as session,
                session.lists() as lists,
                aclosing(lists.projects(account)) as projects,
            ):
                return await anext((p.id async for p in projects if p.why_left_out(self.region) is None), None)
        except ListingError as error:
            raise SignInFailed(f"the projects cannot be listed: {error}", verdict=error.reply.verdict) from None


async def _ask(auth: KeystoneAuth, retry: RetryPolicy, project_id: str | None) -> str | None:
    attempt = 1
    while True:
        try:
            return await auth.endpoint(project_id)
        except SignInFailed as error:
            if not error.reply.retryable or attempt >= retry.attempts:
                raise
            await anyio.sleep(error.reply.retry_after or backoff(retry, attempt, SystemRandom()))
        attempt += 1


def pending(name: str, source: Source, place: Place, limits: Limits, environ: Mapping[str, str]) -> Pending:
    """Make the credential and settle what can be without the network.

    Raises `ConfigError` for what is missing, at odds or not allowed.
    """
    named = endpoints.region_of(place.endpoint) if place.endpoint is not None else None
    if place.region is not None:
        endpoints.check_region(place.region)
        if named not in (None, place.region):
            raise ConfigError(f"--region is {place.region}, but the endpoint is in {named}: give one of them")
    region = place.region or named or source.region or place.fallback
    auth = source.make(region)
    region = region or getattr(auth, "region", None)
    iam = place.iam_endpoint or getattr(auth, "iam_endpoint", None) or source.iam_endpoint
    endpoint = place.endpoint or (endpoints.region_override(environ, region) if region is not None else None)
    endpoint = endpoint or getattr(auth, "endpoint_override", None)
    if endpoint is None and not isinstance(auth, KeystoneAuth):
        endpoint = _by_region(name, region, iam, place.cloud)
    account = Pending(
        name, source.kind, auth, endpoint, iam, region, limits, place.ca_file, place.allow_http, place.cloud
    )
    trusted(place.ca_file, getattr(auth, "verify", True), environ).check()
    if endpoint is not None:
        account.at(endpoint)
    return account


def _by_region(name: str, region: str | None, iam: str | None, cloud: str | None) -> str:
    """The endpoint by the pattern of the region, unless the credential is known by another cloud than the region's."""
    if region is None:
        raise ConfigError(f"{name}: neither an endpoint nor a region is known: give --endpoint or --region")
    cloud = cloud or endpoints.named_cloud(region, iam)
    try:
        endpoint = endpoints.sdrs_endpoint(region, cloud)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    usual = {urlsplit(endpoints.iam_endpoint(region, cloud)).hostname, f"iam.{endpoints.cloud_of(region, cloud)}"}
    if iam is not None and (host := urlsplit(iam).hostname) not in usual:
        raise ConfigError(
            f"{name}: the credential is one of {host}, which is not the IAM of region {region}, so it is not sent to "
            f"{urlsplit(endpoint).hostname}: give the service's endpoint with --endpoint"
        )
    return endpoint


class Connected(NamedTuple):
    """Accounts that are ready, and why others could not be signed in to."""

    accounts: tuple[Account, ...]
    lost: Mapping[str, AuthenticationError]


@dataclass(frozen=True, slots=True)
class Connection:
    """All accounts of a run, and what holds over all of them.

    `notes`: for the user to see before anything is sent; `fleet_file`: the accounts come from one; `by_flag`: the
    limits of it in whose place flags were given.
    """

    pending: Sequence[Pending]
    retry: RetryPolicy
    concurrency: int | None = Limits().concurrency
    notes: Sequence[str] = ()
    fleet_file: bool = False
    by_flag: Collection[str] = ()

    def is_in_file(self, limit: str) -> bool:
        """Whether a limit, by its name in `Limits`, is what a fleet file says."""
        return self.fleet_file and limit not in self.by_flag

    async def resolve(self, projects: Mapping[str, Sequence[str]]) -> Connected:
        """Ask for the endpoints that are not known; `projects`: some ids by the account's name.

        An account that cannot sign in stops no other. Raises its error, with a report, when there is no other, and
        `ConfigError`.
        """
        ready: dict[str, Account] = {}
        lost: dict[str, AuthenticationError] = {}

        async def resolve(account: Pending) -> None:
            try:
                ready[account.name] = await account.resolve(self.retry, projects.get(account.name, ()))
            except AuthenticationError as error:
                lost[account.name] = error

        with single_error():
            async with anyio.create_task_group() as tasks:
                for account in self.pending:
                    tasks.start_soon(resolve, account)
        if not ready:
            report = Ledger()
            note_lost(report, lost)
            raise AuthenticationError(_lost_words(lost), report=report)
        return Connected(tuple(ready[one.name] for one in self.pending if one.name in ready), lost)

    def of(self, names: Collection[str]) -> Connection:
        """The same with these of its accounts alone: nobody else is signed in to."""
        return replace(self, pending=[one for one in self.pending if one.name in names])

    def endpoints(self) -> dict[str, str]:
        """Those that are known before anything is asked, by the accounts' names. Raises `ConfigError`."""
        return {one.name: one.at(one.endpoint).endpoint for one in self.pending if one.endpoint is not None}

    def session(self, accounts: Sequence[Account]) -> Session:
        """A session of these accounts. Raises `ConfigError` for what cannot be used."""
        return connect(accounts, concurrency=self.concurrency, retry=self.retry)

    def line(self, account: Account, *, with_iam: bool) -> str:
        """Which credential is sent where, for the user to see before; `with_iam`: to IAM too."""
        iam = f", IAM {account.iam_endpoint}" if with_iam and account.iam_endpoint != account.endpoint else ""
        region = f", region {account.region}" if account.region is not None else ""
        return f"{account.name}: {self.kind(account)}, {account.endpoint}{iam}{region}"

    def kind(self, account: Account) -> str:
        """The kind of an account's credential, in words."""
        return next(one.kind for one in self.pending if one.name == account.name)


def count_sign_ins(report: Ledger, accounts: Iterable[Pending]) -> None:
    """Those of before and beside the run too: for an endpoint, and of accounts that it went on without."""
    for account in accounts:
        counts = getattr(account.auth, "sign_ins", None)
        if isinstance(counts, SignInCounts):
            report.add_sign_ins(*counts.take())


# ---- accounts that could not be signed in to


def note_lost(report: Ledger, lost: Mapping[str, AuthenticationError]) -> None:
    """They are missing in the report's eyes too: refused, or not listed."""
    for name, error in lost.items():
        verdict = _verdict(error)
        if verdict is Verdict.UNAUTHORIZED:
            report.add_access(False, False, {name: str(error)})
        else:
            report.discovery.add(Unlisted(None, name, verdict, message=str(error)))


def _lost_words(lost: Mapping[str, AuthenticationError]) -> str:
    """Why each is, and what to do; a refusal says that by itself."""
    reasons = "; ".join(f"{name}: {without_owner(name, str(error))}" for name, error in lost.items())
    passing = ((_verdict(error), str(error)) for error in lost.values() if _verdict(error) is not Verdict.UNAUTHORIZED)
    remedies = dict.fromkeys(_remedy(verdict, message) for verdict, message in passing)
    return f"{reasons}. {' '.join(remedies)}" if remedies else reasons


def _verdict(error: AuthenticationError) -> Verdict:
    return error.reply.verdict if isinstance(error, SignInFailed) else Verdict.UNAUTHORIZED


def _remedy(verdict: Verdict, message: str) -> str:
    if verdict is Verdict.UNREACHABLE and not is_certificate(verdict, message):
        return _REACH
    return listing_remedy(verdict, None, message, of_account=True)
