"""Several accounts, as of a fleet file: from those whose endpoints may not be known to those that are ready."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from sdrs_async.accounts.account import Account, Pending, pending, set_variables
from sdrs_async.accounts.selection import Selection
from sdrs_async.accounts.sources import Asked
from sdrs_async.auth import SignInFailed, Traits
from sdrs_async.cloud import regions
from sdrs_async.errors import AuthenticationError, ConfigError, placed, single_error
from sdrs_async.formats.wording import without_owner
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Verdict
from sdrs_async.report import Ledger, Unlisted
from sdrs_async.report.remedies import is_certificate, listing_remedy

if TYPE_CHECKING:
    from sdrs_async.accounts.fleet_file import FleetAccount

_REACH = "Check auth_url, DNS, proxy and firewall, or give a longer --timeout; then run again."


class Connected(NamedTuple):
    """Accounts that are ready, and why others could not be signed in to."""

    accounts: tuple[Account, ...]
    lost: Mapping[str, AuthenticationError]


@dataclass(frozen=True, slots=True)
class Connection:
    """All accounts of a run, and what holds over all of them.

    `notes`: for the user to see before anything is sent; `fleet_file`: the accounts come from one.
    """

    pending: Sequence[Pending]
    retry: RetryPolicy
    concurrency: int | None = Limits().concurrency
    notes: Sequence[str] = ()
    fleet_file: bool = False

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
        report.add_sign_ins(*Traits.of(account.auth).counts.take())


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


# ---- of a fleet file


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
        ids = {name: selection.ids() or () for name, selection in self._selected.items()}
        found = yield from self._connection.resolve(ids).__await__()
        return Fleet(self._connection, self._selected, found)

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
