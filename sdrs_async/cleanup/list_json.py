"""The values of a JSON list one by one: the items of an array, or objects one after another. One is held at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from sdrs_async.cleanup.list_text import BLANKS, LONGEST, Text
from sdrs_async.errors import ConfigError

_BLANK = re.compile(rf"[{BLANKS}]*")
_MARGIN = 16
"""A value that the end of what has been read cuts off shows as wrong so many characters before it, or fewer."""

Placed = tuple[str, Any]
"""A value after its place in the file."""


class Repeating(dict[str, Any]):
    """An object that has a key more than once; here is the last of each."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeating(found)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def objects(text: Text) -> Iterator[Placed]:
    """Each begins on a line of its own and may span several; empty lines and comments may stand between them.

    Raises `ConfigError` with the place, as `items` does.
    """
    while text.first() is not None:
        _skip_blanks(text)
        place = f"line {text.line}"
        yield place, _value(text)
        end = f"line {text.line}"
        if text.next_line().strip(BLANKS):
            raise text.wrong("is not proper JSON: there is more behind the object", end)


def items(text: Text) -> Iterator[Placed]:
    """Of one array, which may be of any length, on one line or on many."""
    _mark(text)
    number = 0
    mark = "," if _peek(text) != "]" else _mark(text)
    while mark == ",":
        number += 1
        _skip_blanks(text)
        place = f"line {text.line}, item {number:,}"
        _check_goes_on(text, place)
        yield place, _value(text)
        _check_goes_on(text, place)
        mark = _mark(text)
    if mark != "]":
        raise text.wrong(f"is not proper JSON: after item {number:,} stands {mark!a}, neither a comma nor the end")
    if _peek(text):
        raise text.wrong("there is more behind the end of the array: make a file of each")


def _value(text: Text) -> Any:
    text.fill()
    try:
        value, end = _DECODER.raw_decode(text.ahead, text.at)
    except json.JSONDecodeError as error:
        raise _not_json(text, error) from None
    except (ValueError, RecursionError) as error:
        raise text.wrong(f"is not proper JSON: {error}") from None
    if end - text.at > LONGEST:
        raise _too_long(text)
    text.take(end)
    return value


def _not_json(text: Text, error: json.JSONDecodeError) -> ConfigError:
    is_open = error.msg.startswith("Unterminated string")
    if not text.is_whole and (is_open or error.pos - text.at > LONGEST - _MARGIN):
        return _too_long(text)
    if text.is_whole and (is_open or not text.ahead[error.pos :].strip(BLANKS)):
        return text.wrong("the file ends within a JSON value: it seems to be cut off")
    text.take(error.pos)
    return text.wrong(f"is not proper JSON: {error.msg} (column {text.column:,})")


def _too_long(text: Text) -> ConfigError:
    return text.wrong(f"longer than {LONGEST // 1024} KiB: this is not a list of targets")


def _check_goes_on(text: Text, place: str) -> None:
    if not _peek(text):
        raise text.wrong("the file ends before the array does: it seems to be cut off", place)


def _skip_blanks(text: Text) -> None:
    while text.fill():
        found = _BLANK.match(text.ahead, text.at)
        if found is None or found.end() == text.at:
            return
        text.take(found.end())


def _peek(text: Text) -> str:
    """The next character that is no blank, none at the end of the text."""
    _skip_blanks(text)
    return text.ahead[text.at : text.at + 1]


def _mark(text: Text) -> str:
    """Take it."""
    _skip_blanks(text)
    return text.take(text.at + 1)
