"""What a fleet file comes to: plain data, with the defaults merged in and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from sdrs_async.accounts.sources import VARIABLE, Credential
from sdrs_async.limits import Limits


@dataclass(frozen=True, slots=True)
class FleetAccount:
    """One account. Only one with `OsCloud` may have neither `region` nor `endpoint`: clouds.yaml or the catalog say.

    `projects`: ids, names and globs over both, at least one; `None` is all that the credential may use.
    `endpoint` and `iam_endpoint` are as written: hold them to the rule of https before use.
    `limits.concurrency` is the fleet's; `weight`: see `Account`.
    """

    name: str
    credential: Credential
    region: str | None = None
    endpoint: str | None = None
    iam_endpoint: str | None = None
    ca_file: str | None = None
    allow_http: bool = False
    projects: tuple[str, ...] | None = None
    project_level: bool = False
    limits: Limits = field(default_factory=Limits)
    weight: int = 1


@dataclass(frozen=True, slots=True)
class FleetFile:
    """The accounts in the file's order, and the requests at a time over all of them (`None`: unlimited).

    `notes`: what is odd in the file and does no harm, one line each with its place, for the user to see.
    """

    accounts: tuple[FleetAccount, ...]
    concurrency: int | None = 64
    notes: tuple[str, ...] = ()


def missing_environment(fleet: FleetFile, environ: Mapping[str, str]) -> list[str]:
    """One line for each variable that an account refers to and that is unset or empty, with both names."""
    return [
        f"account {account.name}: {variable} is not set in the environment ({part.name})"
        for account in fleet.accounts
        for part in fields(account.credential)
        if part.metadata == VARIABLE and (variable := getattr(account.credential, part.name))
        if not environ.get(variable)
    ]
