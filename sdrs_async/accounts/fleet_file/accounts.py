"""An account from its own table and the defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

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

_CLOUD = ("region", "endpoint", "iam_endpoint")
_RATES = ("project_rate", "user_rate", "endpoint_rate")


Settings = Mapping[str, Any]
"""What a table sets, checked, by its keys; `projects` is `None` for all of them."""


def settings_of(written: tables.Shared, path: KeyPath, folder: Path) -> Settings:
    """What a table sets. Raises `Wrong`."""

    def ca_file(text: str, path: KeyPath) -> str:
        return file_path(text, path, folder)

    readers: dict[str, Callable[[Any, KeyPath], Any]] = {
        "region": _region, "endpoint": _url, "iam_endpoint": _url, "ca_file": ca_file, "projects": _projects,
        "weight": _weight, "limits": _limits,
    }  # fmt: skip
    given = _given(written, tables.Shared)
    return {key: readers[key](value, (*path, key)) if key in readers else value for key, value in given}


def account_of(
    name: str, credential: Credential, own: Settings, defaults: Settings, concurrency: int | None
) -> FleetAccount:
    """The account with the defaults merged in. Raises `Wrong` for what only shows in the whole."""
    path = ("accounts", name)
    if own.keys() & {"region", "endpoint"}:
        # These belong together: a default one beside an own one would send the credential to the wrong cloud.
        defaults = {key: value for key, value in defaults.items() if key not in _CLOUD}
    merged = {**defaults, **own}
    if "projects" not in merged:
        raise Wrong(path, 'projects are missing: projects = "all", or a list of ids, names and globs')
    if (projects := merged["projects"]) is not None:
        merged["projects"] = tuple(dict.fromkeys(projects))
    merged["limits"] = Limits(**defaults.get("limits", {}) | own.get("limits", {}), concurrency=concurrency)
    account = FleetAccount(name, credential, **merged)
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


def _given(written: msgspec.Struct, kind: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    keys = kind.__struct_fields__
    return ((key, value) for key in keys if (value := getattr(written, key)) is not None)


def _region(text: str, path: KeyPath) -> str:
    try:
        return check_region(text)
    except ConfigError as error:
        raise Wrong(path, str(error)) from None


def _url(text: str, path: KeyPath) -> str:
    if "@" in text:  # not shown: a password may be in it
        raise Wrong(path, "is scheme, host and port only: no user in it")
    return one_line(text, path)


def _projects(written: str | list[str], path: KeyPath) -> tuple[str, ...] | None:
    if written == "all":
        return None
    if isinstance(written, str) or "all" in written:
        raise Wrong(path, 'has to be "all", or a list of ids, names and globs, like ["eu-de_*"]')
    if not written:
        raise Wrong(path, 'is an empty list: nothing would be done; "all" is all of them')
    return tuple(one_line(project, path) for project in written)


def _weight(value: int, path: KeyPath) -> int:
    if not 1 <= value <= 100:
        raise Wrong(path, "has to be a whole number from 1 to 100")
    return value


def _limits(written: tables.Limits, path: KeyPath) -> dict[str, Any]:
    return {key: _limit(key, value, (*path, key)) for key, value in _given(written, tables.Limits)}


def _limit(key: str, value: Any, path: KeyPath) -> Rate | int | None:
    if key not in _RATES:
        return cap(value, path)
    try:
        return Rate.parse(value)
    except ConfigError as error:
        raise Wrong(path, str(error)) from None
