"""A fleet file: several clouds and accounts in TOML, for one run. `examples/fleet.toml` shows every key.

It holds no secret. Each account refers to its credential: variables of the environment, a cloud of clouds.yaml, or what
the vendor's SDK finds. Nothing is looked up here; that a variable is missing is what `missing_environment` says. All
that is wrong in a file is said at once.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sdrs_async.accounts import fleet_tables
from sdrs_async.accounts.fleet_places import KeyPath, Places, Wrong, secrets_in
from sdrs_async.accounts.selection import PROJECT_ID
from sdrs_async.accounts.sources import VARIABLE, Credential, Keys, OsCloud
from sdrs_async.cloud.regions import region_of
from sdrs_async.cloud.sites import check_endpoint
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits

P = ParamSpec("P")
T = TypeVar("T")
Settings = Mapping[str, Any]
"""What a table sets, checked, by its keys."""

_MAX_BYTES = 16 * 1024 * 1024
_SYNTAX = re.compile(r"(?P<what>.*) \(at (?:(?P<line>line \d+, column \d+)|end of document)\)", re.DOTALL)
_CLOUD = ("region", "endpoint", "iam_endpoint")


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


def read_fleet(path: str | os.PathLike[str]) -> FleetFile:
    """Read a fleet file; paths in it are relative to its folder. Raises `ConfigError`, as `parse_fleet` does."""
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{name}: the fleet file cannot be read: {error.strerror or error}") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{name}: longer than {_MAX_BYTES // 1024**2} MiB: this is not a fleet file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}, line {line}: is not UTF-8 text") from None
    return parse_fleet(text, name, Path(path).parent)


def parse_fleet(text: str, name: str, folder: Path | None = None) -> FleetFile:
    """Check the text of a fleet file and merge its defaults in; `name` stands in the messages.

    Paths in it are relative to `folder`, else to the current one. Raises `ConfigError`: a line with file, line and key
    for each table that is wrong.
    """
    document = _document(text, name)
    reader = _Reader(folder or Path())
    reader.problems.extend(secrets_in(document))
    fleet = None if reader.problems else reader.fleet(document)
    if fleet is None or reader.problems:
        raise Places(name, text).refusal(reader.problems)
    places = Places(name, text) if reader.notes else None
    notes = [f"{places.of(note.path)}: {note}" for note in reader.notes if places]
    return replace(fleet, notes=tuple(notes))


def _document(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _SYNTAX.fullmatch(str(error))
        where = (match["line"] or "at its end") if match else "somewhere"
        raise ConfigError(f"{name}, {where}: is not proper TOML: {match['what'] if match else error}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in lists
        raise ConfigError(f"{name}: is TOML that is too long in a number, or nested too deep") from None


class _Reader:
    """Collects what is wrong, and what is odd, on the way to the accounts."""

    def __init__(self, folder: Path) -> None:
        self.problems: list[Wrong] = []
        self.notes: list[Wrong] = []
        self._folder = folder

    def fleet(self, document: dict[str, Any]) -> FleetFile | None:
        """The fleet as far as it can be read; not to be used when there are `problems`."""
        file = self._attempt(fleet_tables.table, fleet_tables.File, document, ())
        if file is None:
            return None
        limits = self._attempt(self._settings, fleet_tables.WholeLimits, file.limits, ("limits",)) or {}
        concurrency = limits.get("concurrency", Limits().concurrency)
        defaults = self._attempt(self._settings, fleet_tables.Shared, file.defaults, ("defaults",))
        written = [self._attempt(self._account, name, value) for name, value in file.accounts.items()]
        accounts: list[FleetAccount] = []
        if defaults is not None:  # without them, each account would seem to lack what they set
            merged = [self._attempt(_merged, name, own, defaults, concurrency) for name, own in filter(None, written)]
            accounts.extend(filter(None, merged))
        self.problems.extend(_owned_twice(accounts))
        if not file.accounts:
            self.problems.append(Wrong(("accounts",), "is missing: a fleet has at least one, as [accounts.NAME]"))
        return FleetFile(tuple(accounts), concurrency)

    def _attempt(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return read(*args, **kwargs)
        except Wrong as wrong:
            self.problems.append(wrong)
            return None

    def _account(self, name: str, value: Any) -> tuple[str, Settings]:
        path = ("accounts", name)
        fleet_tables.checked(fleet_tables.one_line, name, path)
        own = self._settings(fleet_tables.Account, value, path)
        place = (*path, "credential")
        return name, {**own, "credential": fleet_tables.credential(own.get("credential"), place, self._folder)}

    def _settings(self, kind: type[fleet_tables.Table], value: Any, path: KeyPath) -> Settings:
        settings = fleet_tables.settings(fleet_tables.table(kind, value, path), path, self._folder)
        counts = Counter(settings.get("projects") or ())
        if twice := ", ".join(ascii(project) for project, count in counts.items() if count > 1):
            self.notes.append(Wrong((*path, "projects"), f"named more than once: {twice}"))
        return settings


# ---- an account from its own table and the defaults


def _merged(name: str, own: Settings, defaults: Settings, concurrency: int | None) -> FleetAccount:
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
    account = FleetAccount(name, **merged)
    _check_cloud(account, path)
    return account


def _owned_twice(accounts: list[FleetAccount]) -> Iterator[Wrong]:
    """Projects that two accounts name by their id at the same endpoint: which credential deletes would be chance."""
    owner: dict[tuple[object, str], str] = {}
    for account in accounts:
        for project in filter(PROJECT_ID.fullmatch, account.projects or ()):
            first = owner.setdefault((_whereabouts(account), project), account.name)
            if first != account.name:
                text = f"project {project} is of account {first!a} too: a project belongs to one account"
                yield Wrong(("accounts", account.name, "projects"), text)


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
