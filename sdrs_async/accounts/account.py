"""An account: one credential, where it is used, how fast, and how that is found.

The service's endpoint is the one that is given, else what the environment sets for the region, else what the sign-in
names, else that of the region's pattern: this only where nothing says that the credential is one of another cloud.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from random import SystemRandom
from types import NoneType
from typing import TypeVar
from urllib.parse import urlsplit

import anyio

from sdrs_async.accounts.sources import Asked, CredentialKind, Signature, Source, choose
from sdrs_async.auth import Auth, SignInFailed, Traits
from sdrs_async.cloud import listing, regions
from sdrs_async.cloud.client import Client
from sdrs_async.cloud.listing import ListingError
from sdrs_async.cloud.sites import check_endpoint
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.errors import ConfigError, check, check_types, is_whole, placed
from sdrs_async.limits import Limits, RetryPolicy, backoff
from sdrs_async.models import Listing, Reply, Verdict
from sdrs_async.transport.threads import in_daemon_thread, room
from sdrs_async.transport.trust import trusted

T = TypeVar("T")
W = TypeVar("W", bound=StrEnum)

_OF_CLOUD = "a certificate or key of the cloud"
_AUTH = "a credential (StaticToken(...), AkSk(...), KeystoneAuth.from_cloud(...), or what has sign and invalidate)"


@dataclass(frozen=True, slots=True)
class Account:
    """One credential at one endpoint of the service.

    `name`: what messages and reports call it, not empty in a session; `endpoint`: the service's
    URL; `iam_endpoint`: where its projects are listed; `region`: its endpoint's, so that projects of other regions are
    left out; `limits`: its own rates and its requests per project, the requests at a time in all are the session's;
    `ca_file` and `allow_http` as for `clean()`. `weight`: turns of each of its projects for one of another account's,
    where they share a limit; 1 to 100. Raises `ConfigError` for what is none of these.
    """

    name: str
    endpoint: str
    auth: Auth = field(repr=False, hash=False)  # anybody's: what it shows may be secret, it may have no hash
    iam_endpoint: str | None = None
    region: str | None = None
    limits: Limits = field(default_factory=Limits)
    ca_file: str | None = None
    allow_http: bool = False
    weight: int = 1

    def __post_init__(self) -> None:
        check(isinstance(self.name, str), "the name of an account", "text", self.name)
        check(_signs(self.auth), "auth", _AUTH, self.auth, secret=True)
        check(isinstance(self.endpoint, str), "endpoint", "text", self.endpoint, secret=True)
        iam = self.iam_endpoint
        check(iam is None or isinstance(iam, str), "iam_endpoint", "text or None", iam, secret=True)
        check_types(self, region=(str, NoneType), ca_file=(str, os.PathLike, NoneType), allow_http=(bool,))
        check(isinstance(self.limits, Limits), "limits", "a Limits", self.limits)
        weight = self.weight
        check(is_whole(weight, most=100), f"the weight of account {self.name}", "a whole number from 1 to 100", weight)

    @classmethod
    async def from_cloud(
        cls,
        cloud: str,
        *,
        name: str | None = None,
        region: str | None = None,
        endpoint: str | None = None,
        iam_endpoint: str | None = None,
        limits: Limits | None = None,
        ca_file: str | None = None,
        allow_http: bool = False,
        weight: int = 1,
        retry: RetryPolicy | None = None,
    ) -> Account:
        """The account of a cloud of clouds.yaml: its sign-in, or its access key where it has nothing else.

        Region, IAM and endpoint are those that are given, else the cloud's. The service's endpoint is what
        HUAWEICLOUD_SDK_REGION_SDRS_... sets for the region, or the cloud's `sdrs_endpoint_override`, or what its
        catalog names, for which it is signed in to within the tries of `retry`; else it follows from the region.
        `name`: by default "cloud" and the cloud's; the others as for `Account`.

        Raises `ConfigError`, with file and key, for what is missing, at odds or not allowed, and `SignInFailed`.
        """
        kind, form = CredentialKind.OPENSTACK, Signature.ACCESS
        asked = Asked(endpoint, region, iam_endpoint, cloud, kind, form, ca_file, allow_http, *_policies(limits, retry))
        return await _found(asked, name, weight)

    @classmethod
    async def from_environment(
        cls,
        *,
        name: str | None = None,
        credential: str = "auto",
        signature: str = "access",
        region: str | None = None,
        endpoint: str | None = None,
        iam_endpoint: str | None = None,
        limits: Limits | None = None,
        ca_file: str | None = None,
        allow_http: bool = False,
        weight: int = 1,
        retry: RetryPolicy | None = None,
    ) -> Account:
        """The account that the environment names, as the command finds it without flags.

        `credential`: "auto" is the first of the cloud that OS_CLOUD names, OS_TOKEN, an access key (the variables of
        HUAWEICLOUD_SDK_AK, OS_ACCESS_KEY, HW_ACCESS_KEY), the user of the OS_* variables, the vendor's credentials
        file; "token", "ak-sk", "openstack" and "huawei" are one of these alone, the last with the chain of the
        vendor's SDK. `signature`: the form in which a key signs, "access" or "credential". The region is the one that
        is given, else that of the credential, else OS_REGION_NAME; `name`: by default what the credential is called;
        all others, and what is raised, as for `from_cloud`.
        """
        kind, form = _word(CredentialKind, "credential", credential), _word(Signature, "signature", signature)
        asked = Asked(endpoint, region, iam_endpoint, None, kind, form, ca_file, allow_http, *_policies(limits, retry))
        return await _found(asked, name, weight)


def client_of(account: Account, retry: RetryPolicy, concurrency: int | None) -> Client:
    """What sends the requests of an account, so many at a time. Raises `ConfigError` for what cannot be used."""
    return Client(
        account.endpoint, account.auth, limits=replace(account.limits, concurrency=concurrency), retry=retry,
        iam_endpoint=account.iam_endpoint, ca_file=account.ca_file, allow_http=account.allow_http,
    )  # fmt: skip


def _signs(auth: object) -> bool:
    methods = (getattr(auth, name, None) for name in ("sign", "invalidate"))
    return not isinstance(auth, type) and all(callable(method) for method in methods)


def _word(kind: type[W], name: str, given: object) -> W:
    words = [str(word) for word in kind]
    check(given in words, name, " or ".join(words), given)
    return kind(str(given))


def _policies(limits: Limits | None, retry: RetryPolicy | None) -> tuple[Limits, RetryPolicy]:
    check(limits is None or isinstance(limits, Limits), "limits", "a Limits or None", limits)
    check(retry is None or isinstance(retry, RetryPolicy), "retry", "a RetryPolicy or None", retry)
    return limits or Limits(), retry or RetryPolicy()


async def _found(asked: Asked, name: str | None, weight: int) -> Account:
    """The account; files are read, and what reads them is imported, in a thread."""
    found, _ = await in_daemon_thread(room(), of_environment, asked, os.environ, name)
    return await replace(found, weight=weight).resolve(asked.retry)


# ---- before the endpoint is known


@dataclass(frozen=True, slots=True)
class Pending:
    """An account, whose endpoint may still have to be asked for (`None`). `kind`: of its credential, in words.

    `cloud`: the domain that HW_CLOUD names; `files`: what its credential was read from, each with what named it;
    `weight`: see `Account`.
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
    files: tuple[tuple[str, str], ...] = ()
    weight: int = 1

    def at(self, endpoint: str) -> Account:
        """The account at this endpoint. Raises `ConfigError` for one that may not be used."""
        endpoint = check_endpoint(endpoint, allow_http=self.allow_http)
        region, iam = self.region or regions.region_of(endpoint), self.iam_endpoint
        if iam is None and region is not None and endpoint == regions.by_pattern(region, self.cloud):
            iam = regions.iam_endpoint(region, self.cloud)
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
        auth = self.auth
        if not isinstance(auth, KeystoneAuth):
            return None
        auth.sign_ins.used_by(self.name)
        if endpoint := await _tried(auth.endpoint, retry):
            return endpoint
        for project_id in projects[:1]:
            try:
                return await _tried(partial(auth.endpoint, project_id), retry)
            except SignInFailed as error:  # the next one may know better, unless it is the account's own fault
                if error.reply.whole_account or error.reply.retryable:
                    raise
        listed = await self._first_listed(retry)
        return await _tried(partial(auth.endpoint, listed), retry) if listed is not None else None

    async def _first_listed(self, retry: RetryPolicy) -> str | None:
        """The first project that may have the service; IAM alone is asked."""
        client = client_of(self.at(self.iam_endpoint or ""), retry, self.limits.concurrency)

        def ask(page: Listing) -> asyncio.Future[Reply]:
            return asyncio.ensure_future(client.send(page, retry.timeout))

        async def first() -> str | None:
            async with aclosing(listing.projects(ask)) as projects:
                return await anext((p.id async for p in projects if p.why_left_out(self.region) is None), None)

        try:
            async with client:
                return await _tried(first, retry)
        except ListingError as error:
            raise SignInFailed(f"the projects cannot be listed: {error}", verdict=error.reply.verdict) from None


async def _tried(once: Callable[[], Awaitable[T]], retry: RetryPolicy) -> T:
    """What IAM is asked for, as often as the policy says while another try may do better."""
    attempt = 1
    while True:
        try:
            return await once()
        except (SignInFailed, ListingError) as error:
            if not error.reply.retryable or attempt >= retry.attempts:
                raise
            await anyio.sleep(error.reply.retry_after or backoff(retry, attempt, SystemRandom()))
        attempt += 1


def set_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set: one that is empty or blank is not."""
    return {name: value for name, value in environ.items() if value.strip()}


def of_environment(asked: Asked, environ: Mapping[str, str], name: str | None = None) -> tuple[Pending, list[str]]:
    """The one account that is asked for, and the names of other credentials that are there. Sends nothing.

    `name`: its own, by default that of the credential. Raises `ConfigError`.
    """
    environ = set_variables(environ)
    source, others = choose(asked, environ)
    fallback, cloud = environ.get("OS_REGION_NAME"), environ.get("HW_CLOUD")
    return pending(name or source.name, source, asked, environ, fallback=fallback, cloud=cloud), others


def pending(
    name: str,
    source: Source,
    asked: Asked,
    environ: Mapping[str, str],
    *,
    fallback: str | None = None,
    cloud: str | None = None,
    place: str | None = None,
) -> Pending:
    """Make the credential and settle what can be without the network.

    `fallback`: the region, where nothing else says one; `cloud`: the domain that HW_CLOUD names; `place`: what messages
    call the account, by default its name. Raises `ConfigError` for what is missing, at odds or not allowed.
    """
    named = regions.region_of(asked.endpoint) if asked.endpoint is not None else None
    if asked.region is not None:
        regions.check_region(asked.region)
        if named not in (None, asked.region):
            raise ConfigError(f"the region is {asked.region}, but the endpoint is in {named}: give one of them")
    region = asked.region or named or source.region or fallback
    auth = source.make(region)
    traits = Traits.of(auth)
    region = region or traits.region
    iam = asked.iam_endpoint or traits.iam_endpoint or source.iam_endpoint
    endpoint = asked.endpoint or (regions.region_override(environ, region) if region is not None else None)
    endpoint = endpoint or traits.endpoint_override
    if endpoint is None and not isinstance(auth, KeystoneAuth):
        endpoint = _by_region(place or name, region, iam, cloud)
    account = Pending(
        name, source.kind, auth, endpoint, iam, region, asked.limits, asked.ca_file, asked.allow_http, cloud,
        (*source.files, *((_OF_CLOUD, path) for path in traits.files)),
    )  # fmt: skip
    trusted(asked.ca_file, traits.verify, environ).check()
    if endpoint is not None:
        account.at(endpoint)
    return account


def _by_region(place: str, region: str | None, iam: str | None, cloud: str | None) -> str:
    """The endpoint by the pattern of the region, unless the credential is known by another cloud than the region's."""
    if region is None:
        raise ConfigError(
            f"{place}: neither an endpoint nor a region is known: give one (endpoint or region, --endpoint or --region)"
        )
    cloud = cloud or regions.named_cloud(region, iam)
    with placed(place):
        endpoint = regions.sdrs_endpoint(region, cloud)
    usual = {urlsplit(regions.iam_endpoint(region, cloud)).hostname, f"iam.{regions.cloud_of(region, cloud)}"}
    if iam is not None and (host := urlsplit(iam).hostname) not in usual:
        raise ConfigError(
            f"{place}: the credential is one of {host}, which is not the IAM of region {region}, so it is not sent to "
            f"{urlsplit(endpoint).hostname}: give the service's endpoint (endpoint, --endpoint)"
        )
    return endpoint
