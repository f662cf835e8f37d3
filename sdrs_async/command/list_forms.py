"""The forms of a target list, told apart by the first line that is neither empty nor a comment, and what they say.

CSV with a header that names `project_id` and `server_group_id`, separated by comma, semicolon or TAB; JSON Lines with
these two keys; a JSON array of such objects, of pairs or of texts; plain lines of `project/group`. The first three may
name the account of each target, as a results file does: the same id may be another project with another account. So it
may at another endpoint, which a JSON object may name, too. A JSON object with the level `project` and null for the
group is a project's own level.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sdrs_async.command.list_json import Placed, Repeating, items, objects
from sdrs_async.command.list_text import BLANKS, Text, is_skipped
from sdrs_async.errors import ConfigError
from sdrs_async.wire import UNSEEN

__all__ = ["ACCOUNT", "ENDPOINT", "Row", "as_text", "rows"]

ACCOUNT = "account"
ENDPOINT = "endpoint"
_IDS = ("project_id", "server_group_id")
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "TAB"}
_SEP = re.compile(r'\s*"?sep=(.?)"?[\s,;]*', re.IGNORECASE)
"""Excel's first line, to which a spreadsheet may have added empty cells."""
_SEPARATED = "separated by comma, semicolon or TAB"
_FORMS = (
    f"CSV with a header of {' and '.join(_IDS)}, {_SEPARATED}; JSON Lines or a JSON array with these keys; a results "
    "file (--results); or lines of project/group"
)
_SHOWN = 200


class Row(NamedTuple):
    """A place in the file, like `line 3`, and what stands there of a target, whatever that is."""

    place: str
    project_id: object
    group_id: object
    account: object = None
    level: object = None
    endpoint: object = ...
    """`...` where it says nothing of that."""


def rows(text: Text) -> Iterator[Row]:
    """All of a list, in the form that it has; none where nothing stands in it. Raises `ConfigError` with the place."""
    first = _first(text)
    if first is None:
        return iter(())
    begin = first.strip(BLANKS)
    if begin.startswith("{"):
        return _of_values(text, objects(text), in_array=False)
    if begin.startswith("["):
        return _of_values(text, items(text), in_array=True)
    if (named := _SEP.fullmatch(first)) is not None:
        return _csv(text, _named_separator(text, named[1]))
    if (separator := _separator(text)) is not None:
        return _csv(text, separator)
    if "/" in begin:
        return _plain(text)
    raise text.wrong(f"{ascii(begin)[:80]} is none of the forms of a target list: {_FORMS}")


def _first(text: Text) -> str | None:
    """The line that tells the form: tables may have empty rows above it."""
    while (line := text.first()) is not None and not line.strip(f'{BLANKS},;"'):
        text.next_line()
    return line


def as_text(column: str, value: object) -> str:
    """The value, or `ConfigError` where it is no text."""
    # JSON can spell half of a surrogate pair, which is no text: it could be neither stored nor sent.
    if isinstance(value, str) and (value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)):
        return value
    raise ConfigError(f"{column} has to be a text, not {json.dumps(value)[:80]}")


# ---- columns and keys


@lru_cache(maxsize=16)
def _places(names: tuple[str, ...], *optional: str) -> Mapping[str, int]:
    """Where among these names, of columns or keys, the ids are, and of the `optional` ones those that are there.

    Their case does not count, nor do blanks, dashes and underscores in them. Raises `ConfigError` where it is in doubt.
    """
    wanted = (*_IDS, *optional)
    folded = [_folded(name) for name in names]
    for name, letters in zip(names, folded, strict=True):
        seen = _folded(_seen(name))
        for one in wanted:
            if letters != seen == _folded(one):
                raise ConfigError(f"has {ascii(name)[:80]}, which looks like {one}: take out what is not seen")
    for one in _IDS:
        if folded.count(_folded(one)) != 1:
            raise ConfigError(f"has to name {' and '.join(_IDS)} once each, it is {ascii(list(names))[:_SHOWN]}")
    for one in optional:
        if folded.count(_folded(one)) > 1:
            raise ConfigError(f"has to name {one} once at most, it is {ascii(list(names))[:_SHOWN]}")
    return {one: folded.index(_folded(one)) for one in wanted if _folded(one) in folded}


def _folded(name: str) -> str:
    return re.sub("[ _-]", "", name.strip(BLANKS).lower())


def _seen(name: str) -> str:
    return UNSEEN.sub("", "".join(filter(str.isprintable, name)))


# ---- CSV


def _named_separator(text: Text, separator: str) -> str:
    if separator not in _SEPARATORS:
        raise text.wrong(f"sep={ascii(separator)[1:-1]} names no separator that is read: a list is {_SEPARATED}")
    text.next_line()
    _first(text)
    return separator


def _separator(text: Text) -> str | None:
    """What separates the columns of the header; `None` where the line is none."""
    wanted = set(map(_folded, _IDS))
    for separator in _SEPARATORS:
        if wanted <= {_folded(_seen(cell)) for cell in _cells_ahead(text, separator)}:
            return separator
    line = (text.first() or "").strip(BLANKS)
    if not any(separator in line for separator in _SEPARATORS) and not any(one in _folded(line) for one in wanted):
        return None
    return max(_SEPARATORS, key=line.count)


def _cells_ahead(text: Text, separator: str) -> list[str]:
    """Of the row that is next, which may span lines."""
    text.fill()
    try:
        return next(_reader(io.StringIO(text.ahead[text.at :], newline="\n"), separator), [])
    except csv.Error:
        return []


def _reader(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    return csv.reader(lines, strict=True, delimiter=separator, skipinitialspace=True)


def _csv(text: Text, separator: str) -> Iterator[Row]:
    table = _table(text, separator)
    number, header = next(table, (text.line, []))
    try:
        places = _places(tuple(header), ACCOUNT)
    except ConfigError as error:
        raise text.wrong(f"the CSV header {error} (a list is {_SEPARATED})", f"line {number}") from None
    for number, cells in table:
        if not any(cells):
            continue  # what a table has below its end
        # Spreadsheets write more empty cells at the end of a row than the table has, or fewer.
        if any(cells[len(header) :]) or len(cells) <= max(places.values()):
            raise text.wrong(
                f"the number of columns is {len(cells)}, in the header it is {len(header)} "
                f"(separated by {_SEPARATORS[separator]})",
                f"line {number}",
            )
        project_id, group_id = (cells[places[column]] for column in _IDS)
        yield Row(f"line {number}", project_id, group_id, cells[places[ACCOUNT]] if ACCOUNT in places else None)


def _table(text: Text, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows, each with the number of the line it begins on: a quoted cell may span lines, blank and comment ones too."""
    begin = 0

    def texts() -> Iterator[str]:
        nonlocal begin
        for number, line in text.lines():
            if not begin and is_skipped(line):
                continue
            begin = begin or number
            yield f"{line}\n"

    reader = _reader(texts(), separator)
    while True:
        begin = 0
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise text.wrong(f"is not proper CSV: {error}", f"line {begin}") from None
        if row is None:
            return
        yield begin, [cell.strip(BLANKS) for cell in row]


# ---- JSON


def _of_values(text: Text, values: Iterator[Placed], *, in_array: bool) -> Iterator[Row]:
    for place, value in values:
        try:
            row = _row(place, value, in_array=in_array)
        except ConfigError as error:
            raise text.wrong(str(error), place) from None
        yield row


def _row(place: str, value: object, *, in_array: bool) -> Row:
    if isinstance(value, dict):
        return _of_object(place, value)
    if in_array and isinstance(value, list) and len(value) == len(_IDS):
        return Row(place, *value)
    if in_array and isinstance(value, str):
        return Row(place, *_ids_of(value))
    also = f", a pair of {' and '.join(_IDS)}, or a text project/group" if in_array else ""
    raise ConfigError(f"has to be a JSON object with {' and '.join(_IDS)}{also}, not {json.dumps(value)[:80]}")


def _of_object(place: str, value: dict[str, Any]) -> Row:
    if isinstance(value, Repeating):
        raise ConfigError("the JSON object has a key more than once")
    try:
        places = _places(tuple(value), ACCOUNT, "level", ENDPOINT)
    except ConfigError as error:
        raise ConfigError(f"the JSON object {error}") from None
    found = list(value.values())
    project_id, group_id = (found[places[key]] for key in _IDS)
    account, level = (found[places[key]] if key in places else None for key in (ACCOUNT, "level"))
    return Row(place, project_id, group_id, account, level, found[places[ENDPOINT]] if ENDPOINT in places else ...)


# ---- plain lines


def _plain(text: Text) -> Iterator[Row]:
    for number, line in text.lines():
        if not is_skipped(line):
            place = f"line {number}"
            try:
                yield Row(place, *_ids_of(line.strip(BLANKS)))
            except ConfigError as error:
                raise text.wrong(str(error), place) from None


def _ids_of(entry: str) -> tuple[str, str]:
    project_id, slash, group_id = entry.partition("/")
    if not slash:
        raise ConfigError(f"{ascii(project_id)[:80]} is not project/group")
    return project_id, group_id
