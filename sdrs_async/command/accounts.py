"""From flags, environment and fleet file to the accounts of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

from sdrs_async.accounts import connecting
from sdrs_async.accounts.account import of_environment
from sdrs_async.accounts.connecting import Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.accounts.sources import Asked
from sdrs_async.errors import ConfigError


def of_flags(flags: Asked, environ: Mapping[str, str]) -> Connection:
    """The one account that the flags and the environment name. Sends nothing. Raises `ConfigError`."""
    account, others = of_environment(flags, environ)
    notes = [f"using {account.name}, not {', '.join(others)} (--credential chooses)"] if others else []
    return Connection([account], flags.retry, flags.limits.concurrency, notes)


def of_fleet(
    path: str, flags: Asked, environ: Mapping[str, str], *, project_level: bool
) -> tuple[Connection, dict[str, Selection]]:
    """The accounts of a fleet file, and by their names what to look for in each. Sends nothing.

    Limits that were given as flags win over the file's. Raises `ConfigError`, also for flags of the connection.
    """
    limits = {limit.name for limit in fields(flags.limits)}
    refused = [f"--{name.replace('_', '-')}" for name in flags.given if name not in limits]
    if refused:
        raise ConfigError(f"{' and '.join(refused)}: with --fleet the file says that, for each account")
    connection, selected = connecting.of_fleet(path, flags.given, flags.retry, environ)
    if project_level:
        selected = {name: replace(one, project_level=True) for name, one in selected.items()}
    return connection, selected
