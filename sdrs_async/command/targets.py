"""Target files: read to their end and checked before anything is sent, and kept on disk, not in memory.

Three forms, told apart by the first line that is neither empty nor a comment: CSV with a header that names
`project_id` and `server_group_id`, JSON Lines with these two keys, or plain lines of `project/group`. The first two may
name the account of each target, as a results file does: the same id may be another project with another account. So it
may at another endpoint, which a JSON line may name, too. A JSON line with the level `project` and null for the group is
a project's own level.
"""

from __future__ import annotations

import codecs
import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from sdrs_async.command.spool import Origin, Owned, Spool
from sdrs_async.errors import ConfigError
from sdrs_async.models import ProjectLevel, Target
from sdrs_async.render.wording import printable
from sdrs_async.sites import check_endpoint
from sdrs_async.wire import UNSEEN, check_target

__all__ = ["Owners", "spool"]

_MAX_LINE = 128 * 1024
_SHOWN = 5
_LONG = 250
_COLUMNS = ("project_id", "server_group_id")
_FORMS = "a CSV header with project_id and server_group_id, JSON Lines with these keys, or lines of project/group"

_ACCOUNT = "account"
_ENDPOINT = "endpoint"
_BLANKS = " \t\r\n"
"""What does not count around an id. More, such as a no-break space, may be a part of it, and would be missed."""

Line = tuple[int, str]


class Row(NamedTuple):
    """The number of a line, and what it says of a target, whatever that is."""

    number: int
    project_id: object
    group_id: object
    account: object = None
    level: object = None
    endpoint: object = ...
    """`...` where it says nothing of that."""


class Owners(NamedTuple):
    """Whose targets a list may hold: the `names` of the accounts of a run. `fleet`: they come from a fleet file.

    `endpoints`: by the name, where that is known before anything is sent.
    """

    names: tuple[str, ...]
    fleet: bool = False
    endpoints: Mapping[str, str] = MappingProxyType({})

    def of(self, account: object) -> str:
        """The account that a line names, the only one where it names none. Raises `ConfigError` for any other."""
        if account in (None, ""):
            if len(self.names) > 1:
                raise ConfigError(f"names no account, and the fleet has several: add the key {_ACCOUNT} ({self})")
            return self.names[0]
        name = _text(_ACCOUNT, account)
        if name in self.names:
            return name
        if self.fleet:
            raise ConfigError(f"account {name!r:.80} is not one of the fleet ({self})")
        raise ConfigError(
            f"is a target of account {name!r:.80}, and this run is of {self}, with which the same ids may be others: "
            f"use the fleet file that the list came from (--fleet), or remove {_ACCOUNT} from it"
        )

    def check(self, account: str, origin: Origin, earlier: Origin) -> None:
        """Raise `ConfigError`, with the place, for a line of another endpoint than that of its account.

        `earlier`: what the first line of the account that names an endpoint says.
        """
        if account in self.endpoints:
            origin.check(account, self.endpoints[account])
        origin.check_same(account, earlier)

    def __str__(self) -> str:
        shown = ", ".join(printable(name) for name in self.names[:_SHOWN])
        return f"{shown} and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else shown


def spool(source: str, owners: Owners, *, project_level: bool = False) -> Spool:
    """Read the targets of a file, `-` for stdin, to the end. The caller closes the `Spool`.

    Raises `ConfigError` with the file's name, and the line where one is to blame.
    """
    result = Spool(owners.names)
    try:
        with _opened(source) as (name, file):
            result.fill(_read(name, file, owners, result.origins), project_level=project_level)
    except BaseException:
        result.close()
        raise
    return result


@contextmanager
def _opened(source: str) -> Iterator[tuple[str, BinaryIO]]:
    """The name for messages, and the open file. stdin stays open."""
    if not source:
        raise ConfigError("--targets: the path is empty")
    if source == "-" and sys.stdin is None:
        raise ConfigError("stdin: the targets cannot be read: it is closed")
    try:
        if source == "-":
            yield "stdin", sys.stdin.buffer
        else:
            with open(source, "rb") as file:
                yield source, file
    except OSError as error:
        raise ConfigError(f"{source}: the targets cannot be read: {error.strerror or error}") from None


# ---- lines


def _read(name: str, file: BinaryIO, owners: Owners, origins: dict[str, Origin]) -> Iterator[Owned]:
    """Every target of the file with its account, checked, and in `origins` the endpoints that it names.

    Raises `ConfigError` with the place.
    """
    lines = _lines(name, file)
    first = next((line for line in lines if not _is_skipped(line[1])), None)
    if first is None:
        return
    number, text = first
    rows = _form_of(name, number, text)(name, chain([first], lines))
    for row in rows:
        try:
            target, owner = check_target(_target(row)), owners.of(row.account)
            endpoint = None if row.endpoint is ... else _spelled(_text(_ENDPOINT, row.endpoint))
        except ConfigError as error:
            raise _wrong(name, row.number, str(error)) from None
        if endpoint is not None:
            origin = Origin(endpoint, name, row.number)
            owners.check(owner, origin, origins.setdefault(owner, origin))
        yield owner, target


@lru_cache
def _spelled(endpoint: str) -> str:
    """The endpoint as accounts have it. Raises `ConfigError`, in few words, whatever the list holds."""
    try:
        return check_endpoint(endpoint, allow_http=True)  # nothing is sent there for this
    except ConfigError as error:
        text = str(error) if len(str(error)) <= _LONG else f"endpoint {ascii(endpoint)[:80]} is not a URL"
        raise ConfigError(printable(text)) from None


def _target(row: Row) -> Target | ProjectLevel:
    """A results line of a project's own level has no group, and says which level it is of."""
    project_id = _text("project_id", row.project_id)
    if row.level != "project":
        return Target(project_id, _text("server_group_id", row.group_id))
    if row.group_id is not None:
        raise ConfigError("level is project, but a server_group_id is named too: one of the two is wrong")
    return ProjectLevel(project_id)


def _lines(name: str, file: BinaryIO) -> Iterator[Line]:
    """Numbered lines of text, without a byte order mark. One line at a time is held, and no longer one than allowed."""
    number = 0
    while raw := file.readline(_MAX_LINE + 1):
        number += 1
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if len(raw) > _MAX_LINE:
            raise _wrong(name, number, f"longer than {_MAX_LINE // 1024} KiB: this is not a list of targets")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _wrong(name, number, f"is not UTF-8 text (byte {error.start + 1})") from None
        if "\0" in text:
            raise _wrong(name, number, "holds a NUL byte: the file has to be text in UTF-8")
        yield number, text


def _wrong(name: str, number: int, message: str) -> ConfigError:
    return ConfigError(f"{name}, line {number}: {message}")


def _text(column: str, value: object) -> str:
    # JSON can spell half of a surrogate pair, which is no text: it could be neither stored nor sent.
    if isinstance(value, str) and (value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)):
        return value
    raise ConfigError(f"{column} has to be a text, not {json.dumps(value)[:80]}")


# ---- forms


def _is_skipped(text: str) -> bool:
    line = text.strip(_BLANKS)
    return not line or line.startswith("#")


def _form_of(name: str, number: int, text: str) -> Callable[[str, Iterator[Line]], Iterator[Row]]:
    line = text.strip(_BLANKS)
    if line.startswith("{"):
        return _json_lines
    if "," in line or any(column in line for column in _COLUMNS):
        return _csv
    if "/" in line:
        return _plain
    raise _wrong(name, number, f"{ascii(line)[:80]} is none of the forms of a target list: {_FORMS}")


def _plain(name: str, lines: Iterator[Line]) -> Iterator[Row]:
    for number, text in lines:
        if not _is_skipped(text):
            project_id, slash, group_id = text.strip(_BLANKS).partition("/")
            if not slash:
                raise _wrong(name, number, f"{ascii(project_id)[:80]} is not project/group")
            yield Row(number, project_id, group_id)


def _json_lines(name: str, lines: Iterator[Line]) -> Iterator[Row]:
    for number, text in lines:
        if _is_skipped(text):
            continue
        try:
            entry = json.loads(text.rstrip(_BLANKS))
        except json.JSONDecodeError as error:
            # Its own text would name a line too, the first of the one that it was given.
            raise _wrong(name, number, f"is not a JSON object: {error.msg} (column {error.colno})") from None
        except (ValueError, RecursionError) as error:
            raise _wrong(name, number, f"is not a JSON object: {error}") from None
        if not isinstance(entry, dict) or any(column not in entry for column in _COLUMNS):
            raise _wrong(name, number, f"has to be a JSON object with {' and '.join(_COLUMNS)}")
        project_id, group_id = (entry[column] for column in _COLUMNS)
        yield Row(number, project_id, group_id, entry.get(_ACCOUNT), entry.get("level"), entry.get(_ENDPOINT, ...))


def _csv(name: str, lines: Iterator[Line]) -> Iterator[Row]:
    rows = _csv_rows(name, lines)
    number, header = next(rows)
    columns = [cell.strip(_BLANKS) for cell in header]
    try:
        _check_header(columns)
    except ConfigError as error:
        raise _wrong(name, number, f"the CSV header {error}") from None
    project, group = (columns.index(column) for column in _COLUMNS)
    owner = columns.index(_ACCOUNT) if _ACCOUNT in columns else None
    for number, row in rows:
        if len(row) != len(columns):
            raise _wrong(name, number, f"the number of columns is {len(row)}, in the header it is {len(columns)}")
        cells = [cell.strip(_BLANKS) for cell in row]
        yield Row(number, cells[project], cells[group], None if owner is None else cells[owner])


def _check_header(columns: list[str]) -> None:
    for column in columns:
        seen = UNSEEN.sub("", "".join(filter(str.isprintable, column))).strip(_BLANKS)
        if seen != column and seen in (*_COLUMNS, _ACCOUNT):
            raise ConfigError(f"has a column {ascii(column)[:80]} that looks like {seen}: take out what is not seen")
    if any(columns.count(column) != 1 for column in _COLUMNS):
        raise ConfigError(f"has to name {' and '.join(_COLUMNS)} once each, it is {ascii(columns)[:200]}")
    if columns.count(_ACCOUNT) > 1:
        raise ConfigError(f"has to name {_ACCOUNT} once at most, it is {ascii(columns)[:200]}")


def _csv_rows(name: str, lines: Iterator[Line]) -> Iterator[tuple[int, list[str]]]:
    """Rows, each with the number of the line it begins on: a quoted cell may span lines, blank and comment ones too."""
    begin = 0

    def texts() -> Iterator[str]:
        nonlocal begin
        for number, text in lines:
            if not begin and _is_skipped(text):
                continue
            begin = begin or number
            yield text

    reader = csv.reader(texts(), strict=True)
    while True:
        begin = 0
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _wrong(name, begin, f"is not proper CSV: {error}") from None
        if row is None:
            return
        yield begin, row
