"""An account from its own table and the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sdrs_async.accounts.fleet_file import tables
from sdrs_async.accounts.fleet_file.credentials import file_path, one_line
from sdrs_async.accounts.fleet_file.fleet import FleetAccount
from sdrs_async.accounts.fleet_file.places import KeyPath, Wrong
from sdrs_async.accounts.selection import PROJECT_ID
from sdrs_async.accounts.sources import Credential, Keys, OsCloud
from sdrs_async.cloud.regions import check_region, region_of
from sdrs_async.cloud.sites import check_endpoint
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, Rate

__all__ = ["Settings", "account_of", "cap", "owned_twice", "settings_of"]

_RATES = ("project_rate", "user_rate", "endpoint_rate")


@dataclass(frozen=True, slots=True)
class Settings:
    """A table's own settings, checked; what it leaves to the defaults is `None`, and not in `limits`."""

    region: str | None = None
    endpoint: str | None = None
    iam_endpoint: str | None = None
    ca_file: str | None = None
    allow_http: bool | None = None
    projects: tuple[str, ...] | Literal["all"] | None = None
    project_level: bool | None = None
    weight: int | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)


def settings_of(written: tables.Shared, path: KeyPath, folder: Path) -> Settings:
    """What a table sets. Raises `Wrong`."""
    return Settings(
        region=_region(written.region, (*path, "region")),
        endpoint=_url(written.endpoint, (*path, "endpoint")),
        iam_endpoint=_url(written.iam_endpoint, (*path, "iam_endpoint")),
        ca_file=None if written.ca_file is None else file_path(written.ca_file, (*path, "ca_file"), folder),
        allow_http=written.allow_http,
        projects=_projects(written.projects, (*path, "projects")),
        project_level=written.project_level,
        weight=_weight(written.weight, (*path, "weight")),
        limits=_limits(written.limits, (*path, "limits")),
    )


def account_of(
    name: str, credential: Credential, own: Settings, defaults: Settings, concurrency: int | None
) -> FleetAccount:
    """The account with the defaults merged in. Raises `Wrong` for what only shows in the whole."""
    path = ("accounts", name)
    # These belong together: a default one beside an own one would send the credential to the wrong cloud.
    cloud = own if own.region or own.endpoint else defaults
    projects = _first(own.projects, defaults.projects)
    if projects is None:
        raise Wrong(path, 'projects are missing: projects = "all", or a list of ids, names and globs')
    account = FleetAccount(
        name,
        credential,
        region=cloud.region,
        endpoint=cloud.endpoint,
        iam_endpoint=own.iam_endpoint or cloud.iam_endpoint,
        ca_file=own.ca_file or defaults.ca_file,
        allow_http=bool(_first(own.allow_http, defaults.allow_http)),
        projects=None if projects == "all" else tuple(dict.fromkeys(projects)),
        project_level=bool(_first(own.project_level, defaults.project_level)),
        weight=_first(own.weight, defaults.weight) or 1,
        limits=Limits(**{**defaults.limits, **own.limits}, concurrency=concurrency),
    )
    _check_cloud(account, path)
    return account


def owned_twice(accounts: list[FleetAccount]) -> list[Wrong]:
    """Projects that two accounts name by their id at the same endpoint: which credential deletes would be chance."""
    owner: dict[tuple[object, str], str] = {}
    wrong = []
    for account in accounts:
        for project in filter(PROJECT_ID.fullmatch, account.projects or ()):
            first = owner.setdefault((_whereabouts(account), project), account.name)
            if first != account.name:
                text = f"project {project} is of account {first!a} too: a project belongs to one account"
                wrong.append(Wrong(("accounts", account.name, "projects"), text))
    return wrong


def cap(value: int | str, path: KeyPath) -> int | None:
    """A number of requests at a time, `"none"` for unlimited. Raises `Wrong`."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    if isinstance(value, str) or value < 1:
        raise Wrong(path, 'has to be a whole number of at least 1, or "none"')
    return value


def _whereabouts(account: FleetAccount) -> object:
    """Equal for accounts that surely turn to the same endpoint."""
    endpoint = _spelled(account.endpoint) if account.endpoint else ""
    region = account.region or region_of(endpoint)
    if endpoint and region_of(endpoint) is None:
        return endpoint
    return region or account.credential


def _spelled(endpoint: str) -> str:
    try:
        return check_endpoint(endpoint, allow_http=True).lower()  # nothing is sent there for this
    except ConfigError:  # said later, by who connects
        return endpoint.rstrip("/").lower()


def _check_cloud(account: FleetAccount, path: KeyPath) -> None:
    named = region_of(account.endpoint) if account.endpoint else None
    if account.region and named and account.region != named:
        raise Wrong(path, f"region is {account.region}, but the endpoint is in {named}")
    if not account.region and not account.endpoint and not isinstance(account.credential, OsCloud):
        raise Wrong(path, "region or endpoint is missing: this credential does not say where the service is")
    signs_for_region = isinstance(account.credential, Keys) and account.credential.form == "credential"
    if signs_for_region and not account.region and not named:
        raise Wrong(path, 'region is missing: form = "credential" signs for it')


def _first(own: Any, default: Any) -> Any:
    return default if own is None else own


def _region(text: str | None, path: KeyPath) -> str | None:
    try:
        return None if text is None else check_region(text)
    except ConfigError as error:
        raise Wrong(path, str(error)) from None


def _url(text: str | None, path: KeyPath) -> str | None:
    if text is not None and "@" in text:  # not shown: a password may be in it
        raise Wrong(path, "is scheme, host and port only: no user in it")
    return None if text is None else one_line(text, path)


def _projects(written: str | list[str] | None, path: KeyPath) -> tuple[str, ...] | Literal["all"] | None:
    if written is None:
        return None
    if written == "all":
        return "all"
    if isinstance(written, str) or "all" in written:
        raise Wrong(path, 'has to be "all", or a list of ids, names and globs, like ["eu-de_*"]')
    if not written:
        raise Wrong(path, 'is an empty list: nothing would be done; "all" is all of them')
    return tuple(one_line(project, path) for project in written)


def _weight(value: int | None, path: KeyPath) -> int | None:
    if value is not None and not 1 <= value <= 100:
        raise Wrong(path, "has to be a whole number from 1 to 100")
    return value


def _limits(written: tables.Limits | None, path: KeyPath) -> dict[str, Any]:
    given = {key: getattr(written, key) for key in tables.Limits.__struct_fields__ if written is not None}
    return {key: _limit(key, value, (*path, key)) for key, value in given.items() if value is not None}


def _limit(key: str, value: Any, path: KeyPath) -> Rate | int | None:
    if key not in _RATES:
        return cap(value, path)
    try:
        return Rate.parse(value)
    except ConfigError as error:
        raise Wrong(path, str(error)) from None
