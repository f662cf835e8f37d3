"""The text of a list, read forward in pieces, and the JSON values in it one by one; it is never held whole."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, BinaryIO

from sdrs_async.errors import ConfigError

LONGEST = 128 * 1024
"""The characters that a line, or an item of a JSON array, may have."""
_BLOCK = 256 * 1024

BLANKS = " \t\r\n"
"""What does not count around an id. More, such as a no-break space, may be a part of it, and would be missed."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SAVE = "save it as UTF-8 (in Excel: CSV UTF-8)"
# The mark of UTF-32 begins like that of UTF-16.
_REFUSED = (
    (codecs.BOM_UTF32_LE, f"is UTF-32 text: {_SAVE}"),
    (codecs.BOM_UTF32_BE, f"is UTF-32 text: {_SAVE}"),
    (b"PK\x03\x04", "is a workbook (.xlsx) or another ZIP archive, and no text: save its table as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "is a workbook (.xls), and no text: save its table as CSV UTF-8"),
    (b"\x1f\x8b", "is compressed with gzip: unpack it first"),
)

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


def is_skipped(line: str) -> bool:
    """Whether the line says nothing: it is empty or a comment."""
    line = line.strip(BLANKS)
    return not line or line.startswith("#")


class Text:
    r"""What is left of the text of a file, whose line ends are all `\n`, without a byte order mark.

    `name`: of the file, for messages. `ahead[at:]`: what has been read and not been taken; `line` and `column`: where
    that begins.
    """

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self.ahead = ""
        self.at = 0
        self.line = 1
        self.column = 1
        self.is_whole = False
        """Whether what is ahead is all that is left."""
        self._blocks = _blocks(name, file)

    def fill(self) -> bool:
        """Read on until more than `LONGEST` characters are ahead, or all that are left. Whether there are any.

        Raises `ConfigError` for what is no text in UTF-8, or in UTF-16 with a byte order mark.
        """
        while not self.is_whole and len(self.ahead) - self.at <= LONGEST:
            block = next(self._blocks, None)
            self.is_whole = block is None
            self.ahead, self.at = self.ahead[self.at :] + (block or ""), 0
        return self.at < len(self.ahead)

    def take(self, end: int) -> str:
        """What is ahead up to this index of `ahead`."""
        taken = self.ahead[self.at : end]
        self.line += taken.count("\n")
        self.column = len(taken) - taken.rfind("\n") if "\n" in taken else self.column + len(taken)
        self.at = end
        return taken

    def peek(self) -> str | None:
        """The line that is next, not taken; of one that is too long, its begin. `None` at the end of the text."""
        return self.ahead[self.at : min(self._line_end(), self.at + LONGEST)] if self.fill() else None

    def first(self) -> str | None:
        """Take the empty lines and the comments that come next, and show the line after them as `peek` does."""
        while (line := self.peek()) is not None and is_skipped(line):
            self.next_line()
        return line

    def lines(self) -> Iterator[tuple[int, str]]:
        """Take the lines that are left, each with its number. Raises `ConfigError` for one that is too long."""
        while self.fill():
            yield self.line, self.next_line()

    def next_line(self) -> str:
        """Take what is left of a line, and its end. Raises `ConfigError` where that is too long for one."""
        self.fill()
        end = self._line_end()
        if end - self.at > LONGEST:
            raise self.wrong(f"longer than {LONGEST // 1024} KiB: this is not a list of targets")
        return self.take(end + 1).removesuffix("\n")

    def _line_end(self) -> int:
        end = self.ahead.find("\n", self.at)
        return len(self.ahead) if end < 0 else end

    def wrong(self, message: str, place: str | None = None) -> ConfigError:
        """An error with the file and the place; without one the line that is next."""
        return ConfigError(f"{self.name}, {place or f'line {self.line}'}: {message}")


def _blocks(name: str, file: BinaryIO) -> Iterator[str]:
    pieces = _pieces(file)
    head = next(pieces, b"")
    mark, encoding = _encoding(name, head)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    line = 1
    for data in chain([head[len(mark) :]], pieces, [None]):
        try:
            text = decoder.decode(data or b"", final=data is None)
        except UnicodeDecodeError as error:
            raise _not_text(name, line, encoding, error) from None
        if "\0" in text:
            line += text.count("\n", 0, text.index("\0"))
            raise ConfigError(f"{name}, line {line}: holds a NUL character: {_SAVE}")
        line += text.count("\n")
        if text:
            yield text


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """All of the file; the first piece is as much as tells the encoding."""
    size = max(len(mark) for mark, _ in _REFUSED)
    while data := file.read(size):
        yield data
        # At the end of what is typed, each further look would wait for another Ctrl-D.
        if len(data) < size and file.isatty():
            return
        size = _BLOCK
    if data is None:  # of a stdin that does not block
        raise BlockingIOError("it has nothing to read yet")


def _encoding(name: str, head: bytes) -> tuple[bytes, str]:
    """The byte order mark, and the encoding. Raises `ConfigError` for one that is not read."""
    for mark, message in _REFUSED:
        if head.startswith(mark):
            raise ConfigError(f"{name}, line 1: {message}")
    if b"\0" in head[:2]:
        raise ConfigError(f"{name}, line 1: seems to be UTF-16 or UTF-32 text without a byte order mark: {_SAVE}")
    return next(((mark, encoding) for mark, encoding in _MARKS if head.startswith(mark)), (b"", "utf-8"))


def _not_text(name: str, line: int, encoding: str, error: UnicodeDecodeError) -> ConfigError:
    before = io.IncrementalNewlineDecoder(None, translate=True).decode(
        error.object[: error.start].decode(encoding), final=True
    )
    line += before.count("\n")
    byte = f"byte 0x{error.object[error.start]:02x}"
    return ConfigError(f"{name}, line {line}: is not {encoding[:6].rstrip('-').upper()} text ({byte}): {_SAVE}")


# ---- JSON


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
