"""From flags, environment and fleet file to the accounts of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sdrs_async.accounts import fleets
from sdrs_async.accounts.account import of_environment
from sdrs_async.accounts.connecting import Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.accounts.sources import Asked, CredentialKind, Signature
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
    asked = Asked(
        flags.credential, flags.os_cloud, flags.signature, flags.retry.timeout, flags.allow_http, flags.ca_file,
        flags.endpoint, flags.region, flags.iam_endpoint,
    )  # fmt: skip
    limits = Limits(**flags.limits)
    account, others = of_environment(asked, limits, environ)
    notes = [f"using {account.name}, not {', '.join(others)} (--credential chooses)"] if others else []
    return Connection([account], flags.retry, limits.concurrency, notes)


def of_fleet(
    path: str, flags: ConnectionFlags, environ: Mapping[str, str], *, project_level: bool
) -> tuple[Connection, dict[str, Selection]]:
    """The accounts of a fleet file, and by their names what to look for in each. Sends nothing.

    Limits that were given as flags win over the file's. Raises `ConfigError`, also for flags of the connection.
    """
    refused = [f"--{name.replace('_', '-')}" for name in flags.given if name not in flags.limits]
    if refused:
        raise ConfigError(f"{' and '.join(refused)}: with --fleet the file says that, for each account")
    connection, selected = fleets.of_fleet(path, flags.given, flags.retry, environ)
    if project_level:
        selected = {name: replace(one, project_level=True) for name, one in selected.items()}
    return connection, selected
