"""From the text of a fleet file to its accounts, with all that is wrong in it said at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sdrs_async.accounts.fleet_file import tables
from sdrs_async.accounts.fleet_file.accounts import Settings, account_of, cap, owned_twice, settings_of
from sdrs_async.accounts.fleet_file.credentials import credential_of, one_line
from sdrs_async.accounts.fleet_file.fleet import FleetAccount, FleetFile
from sdrs_async.accounts.fleet_file.literals import secrets_in
from sdrs_async.accounts.fleet_file.places import KeyPath, Places, Wrong
from sdrs_async.accounts.sources import Credential
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits

P = ParamSpec("P")
T = TypeVar("T")

_MAX_BYTES = 16 * 1024 * 1024
_SYNTAX = re.compile(r"(?P<what>.*) \(at (?:(?P<line>line \d+, column \d+)|end of document)\)", re.DOTALL)


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
        file = self._attempt(tables.table, tables.File, document, ())
        if file is None:
            return None
        concurrency = self._attempt(_concurrency, file.limits)
        defaults = self._attempt(self._defaults, file.defaults)
        written = [self._attempt(self._account, name, value) for name, value in file.accounts.items()]
        accounts: list[FleetAccount] = []
        if defaults is not None:  # without them, each account would seem to lack what they set
            merged = [self._attempt(account_of, *parts, defaults, concurrency) for parts in written if parts]
            accounts.extend(filter(None, merged))
        self.problems.extend(owned_twice(accounts))
        if not file.accounts:
            self.problems.append(Wrong(("accounts",), "is missing: a fleet has at least one, as [accounts.NAME]"))
        return FleetFile(tuple(accounts), concurrency)

    def _attempt(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return read(*args, **kwargs)
        except Wrong as wrong:
            self.problems.append(wrong)
            return None

    def _defaults(self, value: dict[str, Any]) -> Settings:
        path = ("defaults",)
        return self._settings(tables.table(tables.Shared, value, path), path)

    def _account(self, name: str, value: Any) -> tuple[str, Credential, Settings]:
        path = ("accounts", name)
        one_line(name, path)
        written = tables.table(tables.Account, value, path)
        credential = credential_of(written.credential, (*path, "credential"), self._folder)
        return name, credential, self._settings(written, path)

    def _settings(self, written: tables.Shared, path: KeyPath) -> Settings:
        settings = settings_of(written, path, self._folder)
        counts = Counter(settings.get("projects") or ())
        twice = ", ".join(ascii(project) for project, count in counts.items() if count > 1)
        if twice:
            self.notes.append(Wrong((*path, "projects"), f"named more than once: {twice}"))
        return settings


def _concurrency(limits: dict[str, Any]) -> int | None:
    path = ("limits",)
    value = tables.table(tables.WholeLimits, limits, path).concurrency
    return Limits().concurrency if value is None else cap(value, (*path, "concurrency"))
