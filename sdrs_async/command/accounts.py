"""From flags, environment and fleet file to the accounts of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sdrs_async.accounts import sources as credentials
from sdrs_async.accounts.fleet_file import (
    FleetAccount,
    FleetFile,
    HuaweiChain,
    HuaweiProfile,
    Keys,
    OsCloud,
    Token,
    load_fleet,
    missing_environment,
)
from sdrs_async.accounts.sources import Asked, CredentialKind, Signature, Source
from sdrs_async.cleanup.discovery import Selection
from sdrs_async.cloud import regions as endpoints
from sdrs_async.command.connecting import Connection, Pending, Place, pending
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, RetryPolicy

__all__ = ["ConnectionFlags", "of_flags", "of_fleet"]


@dataclass(frozen=True, slots=True)
class ConnectionFlags:
    """The flags of the connection. `limits`: the fields of `Limits`; `given`: all that stood on the command line."""

    endpoint: str | None
    region: str | None
    iam_endpoint: str | None
    os_cloud: str | None
    credential: CredentialKind
    signature: Signature
    ca_file: str | None
    allow_http: bool
    limits: Mapping[str, Any]
    retry: RetryPolicy
    given: Mapping[str, Any] = field(default_factory=dict)


def of_flags(flags: ConnectionFlags, environ: Mapping[str, str]) -> Connection:
    """The one account that the flags and the environment name. Sends nothing. Raises `ConfigError`."""
    environ = _set(environ)
    asked = Asked(
        flags.credential, flags.os_cloud, flags.signature, flags.retry.timeout, flags.allow_http, flags.ca_file
    )
    source, others = credentials.choose(asked, environ)
    place = Place(
        flags.endpoint, flags.region, environ.get("OS_REGION_NAME") or None, flags.iam_endpoint,
        flags.ca_file, flags.allow_http, environ.get("HW_CLOUD"),
    )  # fmt: skip
    limits = Limits(**flags.limits)
    notes = [f"using {source.name}, not {', '.join(others)} (--credential chooses)"] if others else []
    return Connection([pending(source.name, source, place, limits, environ)], flags.retry, limits.concurrency, notes)


def of_fleet(
    path: str, flags: ConnectionFlags, environ: Mapping[str, str], *, project_level: bool
) -> tuple[Connection, dict[str, Selection]]:
    """The accounts of a fleet file, and by their names what to look for in each. Sends nothing.

    Limits that were given as flags win over the file's. Raises `ConfigError`, also for flags of the connection.
    """
    environ = _set(environ)
    refused = [f"--{name.replace('_', '-')}" for name in flags.given if name not in flags.limits]
    if refused:
        raise ConfigError(f"{' and '.join(refused)}: with --fleet the file says that, for each account")
    fleet = load_fleet(path)
    if missing := missing_environment(fleet, environ):
        raise ConfigError("\n".join(f"{path}: {line}" for line in missing))
    concurrency = flags.given.get("concurrency", fleet.concurrency)
    accounts = [_pending(account, flags, concurrency, environ) for account in fleet.accounts]
    connection = Connection(
        accounts, flags.retry, concurrency, fleet.notes, fleet_file=True, by_flag=tuple(flags.given)
    )
    return connection, _selections(fleet, project_level)


def _set(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set: one that is empty or blank is not."""
    return {name: value for name, value in environ.items() if value.strip()}


def _selections(fleet: FleetFile, project_level: bool) -> dict[str, Selection]:
    return {a.name: Selection(a.projects, a.project_level or project_level) for a in fleet.accounts}


def _pending(
    account: FleetAccount, flags: ConnectionFlags, concurrency: int | None, environ: Mapping[str, str]
) -> Pending:
    place = Place(
        account.endpoint, account.region, None, account.iam_endpoint,
        account.ca_file, account.allow_http,
    )  # fmt: skip
    limits = replace(account.limits, **{**flags.given, "concurrency": concurrency})
    try:
        source = _source(account, flags.retry.timeout, environ)
        one = pending(account.name, source, place, limits, environ)
        if account.endpoint is None:
            _check_cloud(one, environ.get("HW_CLOUD"))
    except ConfigError as error:
        raise ConfigError(f"account {account.name}: {str(error).removeprefix(f'{account.name}: ')}") from None
    return replace(one, weight=account.weight)


def _check_cloud(account: Pending, cloud: str | None) -> None:
    """That an account whose host follows from its region alone is not one of the cloud that HW_CLOUD names for all."""
    if cloud is None or account.region is None or account.endpoint != endpoints.by_pattern(account.region):
        return
    if (domain := endpoints.cloud_of(account.region)) != cloud:
        raise ConfigError(
            f"region {account.region} is one of {domain}, but HW_CLOUD is {cloud}, which says nothing of the single "
            "accounts of a fleet: unset it, or give this one's endpoint in the fleet file"
        )


def _source(account: FleetAccount, timeout: float, environ: Mapping[str, str]) -> Source:
    match account.credential:
        case OsCloud(name):
            return credentials.cloud(name, timeout=timeout, allow_http=account.allow_http, ca_file=account.ca_file)
        case Token(variable):
            return credentials.token(variable, environ)
        case Keys() as named:
            return credentials.keys(named, environ)
        case HuaweiProfile(path):
            return credentials.profile(path, environ)
        case HuaweiChain():
            return credentials.chain(ca_file=account.ca_file)
