"""The forms of a target list, told apart by the first line that is neither empty nor a comment, and what they say.

CSV with a header that names `project_id` and `server_group_id`, separated by comma, semicolon or TAB; JSON Lines with
these two keys; a JSON array of such objects, of pairs or of texts; plain lines of `project/group`. The first three may
name the account and the endpoint of each target, as a results file does: the same id may be another project with
another account, or at another endpoint. What has the level `project` and no group is a project's own level.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from sdrs_async.cleanup.id_forms import GROUP_ID
from sdrs_async.cleanup.list_text import BLANKS, Placed, Repeating, Text, is_skipped, items, objects
from sdrs_async.cloud.calls import UNSEEN
from sdrs_async.errors import ConfigError, placed

ACCOUNT = "account"
ENDPOINT = "endpoint"
_LEVEL = "level"
_IDS = ("project_id", "server_group_id")
_OPTIONAL = (ACCOUNT, _LEVEL, ENDPOINT)
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "TAB"}
_SEP = re.compile(r'\s*"?sep=(.?)"?[\s,;]*', re.IGNORECASE)
"""Excel's first line, to which a spreadsheet may have added empty cells."""
_SEPARATED = "separated by comma, semicolon or TAB"
_FORMS = (
    f"CSV with a header of {' and '.join(_IDS)}, {_SEPARATED}; JSON Lines or a JSON array with these keys; a results "
    "file (--results); or lines of project/group"
)
_IN_DOUBT = (
    "begins with #, as a comment does, and reads like a row of the table: put its first cell in quotes if it is one, "
    "or else take it out"
)
_QUOTE = "a quoted cell holds the lines after it, with ids of groups: put its quotes right, or take its column out"
_SHOWN = 200


class Row(NamedTuple):
    """A place in the file, like `line 3`, and what stands there of a target, whatever that is."""

    place: str
    project_id: object
    server_group_id: object
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
    """The line that tells the form, which is not taken: tables may have empty rows above it."""
    while (line := text.peek()) is not None and (is_skipped(line) or not line.strip(f'{BLANKS},;"')):
        if _separator_of_header(line) is not None:
            raise text.wrong(_IN_DOUBT)
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
def _places(names: tuple[str, ...], holder: str, hint: str = "") -> Mapping[str, int]:
    """Where among these names, of columns or keys, the ids are, and of the optional ones those that are there.

    Their case does not count, nor do blanks, dashes and underscores in them. Raises `ConfigError` where it is in doubt,
    about the `holder` of the names, and with a `hint`.
    """
    wanted = (*_IDS, *_OPTIONAL)
    folded = [_folded(name) for name in names]
    for name, letters in zip(names, folded, strict=True):
        seen = _folded(_seen(name))
        for one in wanted:
            if letters != seen == _folded(one):
                raise ConfigError(
                    f"{holder} has {ascii(name)[:80]}, which looks like {one}: take out what is not seen{hint}"
                )
    for one in wanted:
        count, needed = folded.count(_folded(one)), one in _IDS
        if count > 1 or (needed and not count):
            often = f"{' and '.join(_IDS)} once each" if needed else f"{one} once at most"
            raise ConfigError(f"{holder} has to name {often}, it is {ascii(list(names))[:_SHOWN]}{hint}")
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
    text.fill()
    if (separator := _separator_of_header(text.ahead[text.at :])) is not None:
        return separator
    line = (text.peek() or "").strip(BLANKS)
    if not any(one in line for one in _SEPARATORS) and not any(_folded(one) in _folded(line) for one in _IDS):
        return None
    return max(_SEPARATORS, key=line.count)


def _separator_of_header(begin: str) -> str | None:
    """What makes a header of the first row, which may span lines."""
    for separator in _SEPARATORS:
        try:
            cells = next(_reader(io.StringIO(begin, newline="\n"), separator), [])
        except csv.Error:
            continue
        if set(map(_folded, _IDS)) <= {_folded(_seen(cell)) for cell in cells}:
            return separator
    return None


def _reader(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    return csv.reader(lines, strict=True, delimiter=separator, skipinitialspace=True)


def _csv(text: Text, separator: str) -> Iterator[Row]:
    number, header = next(_table(text, separator, {}), (text.line, []))
    with placed(f"{text.name}, line {number}"):
        places = _places(tuple(header), "the CSV header", f" (a list is {_SEPARATED})")
    for number, cells in _table(text, separator, places):
        if any(cells):  # not what a table has below its end
            if wrong := _what_is_wrong(cells, header, max(places.values())):
                raise text.wrong(f"{wrong} (separated by {_SEPARATORS[separator]})", f"line {number}")
            yield Row(f"line {number}", **_found(cells, places))


def _what_is_wrong(cells: list[str], header: list[str], last: int) -> str | None:
    """`last`: the place of the last cell that counts."""
    if cells == header:
        return "is the header once more: make a list of each table, or take the line out"
    # Spreadsheets write more empty cells at the end of a row than the table has, or fewer.
    if any(cells[len(header) :]) or len(cells) <= last:
        return f"the number of columns is {len(cells)}, in the header it is {len(header)}"
    return None


def _found(cells: list[str], places: Mapping[str, int]) -> dict[str, object]:
    """What the cells say: an empty one is as none, and so is that of the group at a project's own level."""
    found: dict[str, object] = {name: cells[at] for name, at in places.items() if name in _IDS or cells[at]}
    if found.get(_LEVEL) == "project":
        found["server_group_id"] = found["server_group_id"] or None
    return found


def _table(text: Text, separator: str, places: Mapping[str, int]) -> Iterator[tuple[int, list[str]]]:
    """Rows, each with the number of the line it begins on: a quoted cell may span lines, blank and comment ones too.

    `places`: of the columns; none for the header.
    """
    begin = 0

    def texts() -> Iterator[str]:
        nonlocal begin
        for number, line in text.lines():
            if begin or not is_skipped(line):
                begin = begin or number
                yield f"{line}\n"
            elif _reads_like_a_row(line, separator, places):
                raise text.wrong(_IN_DOUBT, f"line {number}")

    reader = _reader(texts(), separator)
    while True:
        begin = 0
        try:
            cells = _cells(next(reader), separator)
        except StopIteration:
            return
        except csv.Error as error:
            raise text.wrong(f"is not proper CSV: {error}", f"line {begin}") from None
        yield begin, cells


def _cells(row: list[str], separator: str) -> list[str]:
    """Without the blanks around them. A quote too many hides all columns from one row to the next: `csv.Error`."""
    if any("\n" in cell and separator in cell and GROUP_ID.search(cell) for cell in row):
        raise csv.Error(_QUOTE)
    return [cell.strip(BLANKS) for cell in row]


def _reads_like_a_row(comment: str, separator: str, places: Mapping[str, int]) -> bool:
    """Whether it may be a row whose first cell happens to begin with #. Where that is an id, it cannot."""
    at = [places[name] for name in _IDS if name in places]
    if not comment.strip(BLANKS) or not at or 0 in at:
        return False
    try:
        cells = next(_reader([comment], separator), [])
    except csv.Error:  # it has a quote that may go on in the next line
        return True
    return len(cells) > max(at) and any(len(cells[one].split()) == 1 for one in at)  # in prose, rather several


# ---- JSON


def _of_values(text: Text, values: Iterator[Placed], *, in_array: bool) -> Iterator[Row]:
    for place, value in values:
        with placed(f"{text.name}, {place}"):
            row = _row(place, value, in_array=in_array)
        yield row


def _row(place: str, value: object, *, in_array: bool) -> Row:
    if isinstance(value, Repeating):
        raise ConfigError("the JSON object has a key more than once")
    if isinstance(value, dict):
        places, values = _places(tuple(value), "the JSON object"), list(value.values())
        return Row(place, **{name: values[at] for name, at in places.items()})
    if in_array and isinstance(value, list) and len(value) == len(_IDS):
        return Row(place, *value)
    if in_array and isinstance(value, str):
        return Row(place, *_ids_of(value))
    also = f", a pair of {' and '.join(_IDS)}, or a text project/group" if in_array else ""
    raise ConfigError(f"has to be a JSON object with {' and '.join(_IDS)}{also}, not {json.dumps(value)[:80]}")


# ---- plain lines


def _plain(text: Text) -> Iterator[Row]:
    for number, line in text.lines():
        if not is_skipped(line):
            with placed(f"{text.name}, line {number}"):
                ids = _ids_of(line.strip(BLANKS))
            yield Row(f"line {number}", *ids)


def _ids_of(entry: str) -> tuple[str, str]:
    project_id, slash, group_id = entry.partition("/")
    if not slash:
        raise ConfigError(f"{ascii(project_id)[:80]} is not project/group")
    return project_id, group_id
