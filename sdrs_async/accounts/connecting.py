"""From accounts whose endpoints may not be known to those that are ready, and what became of the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import anyio

from sdrs_async.accounts.account import Account, Pending
from sdrs_async.auth import SignInFailed, Traits
from sdrs_async.errors import AuthenticationError, single_error
from sdrs_async.formats.wording import without_owner
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Verdict
from sdrs_async.report import Ledger, Unlisted
from sdrs_async.report.remedies import is_certificate, listing_remedy

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
