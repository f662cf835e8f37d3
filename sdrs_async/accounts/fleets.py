"""The accounts of a fleet file: several clouds, each with what is to be looked for in it."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sdrs_async.accounts.account import Account, Pending, pending, set_variables
from sdrs_async.accounts.connecting import Connected, Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.accounts.sources import Asked
from sdrs_async.cloud import regions
from sdrs_async.errors import AuthenticationError, ConfigError, placed
from sdrs_async.limits import RetryPolicy

if TYPE_CHECKING:
    from sdrs_async.accounts.fleet_file import FleetAccount


class Fleet:
    """Several accounts, and what to look for in each of them. Comes from `load_fleet()`."""

    def __init__(
        self, connection: Connection, selected: Mapping[str, Selection], found: Connected | None = None
    ) -> None:
        self._connection, self._selected, self._found = connection, selected, found

    def __repr__(self) -> str:
        return f"<Fleet of {', '.join(one.name for one in self._connection.pending):.200}>"

    def __await__(self) -> Generator[Any, None, Fleet]:
        """Ask the clouds whose endpoint the file does not tell, each by a sign-in, at the same time.

        Raises `AuthenticationError` when nobody could be signed in to, and `ConfigError`, as `Account.from_cloud` does.
        """
        return self._asked().__await__()

    async def _asked(self) -> Fleet:
        ids = {name: selection.ids() or () for name, selection in self._selected.items()}
        return Fleet(self._connection, self._selected, await self._connection.resolve(ids))

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts in the file's order, for `connect()`, each with its own name, credential, hosts and limits.

        Raises `ConfigError` where the endpoint of one is still to be asked for.
        """
        if self._found is not None:
            return self._found.accounts
        unknown = [one.name for one in self._connection.pending if one.endpoint is None]
        if unknown:
            raise ConfigError(
                f"{', '.join(unknown)}: only the sign-in names the endpoint: `await` the fleet, or give it in the file"
            )
        return tuple(one.at(one.endpoint) for one in self._connection.pending if one.endpoint is not None)

    @property
    def selections(self) -> dict[Account, Selection]:
        """What the file says to look for in each account, for `Session.clean()`, `find()` and `stream()`."""
        return {account: self._selected[account.name] for account in self.accounts}

    @property
    def lost(self) -> Mapping[str, AuthenticationError]:
        """By their names the accounts that could not be signed in to, and are not among `accounts`, each with why."""
        return {} if self._found is None else self._found.lost

    @property
    def notes(self) -> Sequence[str]:
        """What is odd in the file and does no harm, one line each with its place."""
        return self._connection.notes

    @property
    def concurrency(self) -> int | None:
        """The requests at a time over all accounts, for `connect()`; `None`: unlimited."""
        return self._connection.concurrency


def load_fleet(path: str | os.PathLike[str], *, retry: RetryPolicy | None = None) -> Fleet:
    """The accounts of a fleet file (TOML), with endpoint, IAM and region as the command finds them.

        fleet = await load_fleet("fleet.toml")
        async with connect(fleet.accounts, concurrency=fleet.concurrency) as session:
            report = await session.clean(fleet.selections)

    Reads files, this one and those that it refers to, and sends nothing; awaited, the fleet is one whose clouds have
    been asked for the endpoints that no file tells, within the tries of `retry`. Credentials come from the variables
    and files that it names. Raises `ConfigError`: of the file a line for each fault, with file, line and key, else
    with the account's name.
    """
    return Fleet(*of_fleet(os.fspath(path), {}, retry or RetryPolicy(), os.environ))


def of_fleet(
    path: str, limits: Mapping[str, Any], retry: RetryPolicy, environ: Mapping[str, str]
) -> tuple[Connection, dict[str, Selection]]:
    """The accounts of a fleet file, and by their names what to look for in each. Sends nothing.

    `limits`: fields of `Limits` that win over the file's, for every account. Raises `ConfigError`.
    """
    try:
        from sdrs_async.accounts.fleet_file import missing_environment, read_fleet
    except ImportError:
        raise ConfigError("reading a fleet file needs an extra: pip install 'sdrs-async[cli]'") from None
    environ = set_variables(environ)
    file = read_fleet(path)
    if missing := missing_environment(file, environ):
        raise ConfigError("\n".join(f"{path}: {line}" for line in missing))
    limits = {"concurrency": file.concurrency, **limits}
    accounts = [_pending(account, limits, retry, environ) for account in file.accounts]
    selected = {one.name: Selection(one.projects, one.project_level) for one in file.accounts}
    return Connection(accounts, retry, limits["concurrency"], file.notes, fleet_file=True), selected


def _pending(
    account: FleetAccount, limits: Mapping[str, Any], retry: RetryPolicy, environ: Mapping[str, str]
) -> Pending:
    asked = Asked(
        account.endpoint, account.region, account.iam_endpoint, ca_file=account.ca_file, allow_http=account.allow_http,
        limits=replace(account.limits, **limits), retry=retry,
    )  # fmt: skip
    with placed(place := f"account {account.name}"):
        source = account.credential.source(asked, environ)
        one = pending(account.name, source, asked, environ, place=place)
        if account.endpoint is None:
            _check_cloud(one, environ.get("HW_CLOUD"))
    return replace(one, weight=account.weight)


def _check_cloud(account: Pending, cloud: str | None) -> None:
    """That an account whose host follows from its region alone is not one of the cloud that HW_CLOUD names for all."""
    if cloud is None or account.region is None or account.endpoint != regions.by_pattern(account.region):
        return
    if (domain := regions.cloud_of(account.region)) != cloud:
        raise ConfigError(
            f"region {account.region} is one of {domain}, but HW_CLOUD is {cloud}, which says nothing of the single "
            "accounts of a fleet: unset it, or give this one's endpoint in the fleet file"
        )
