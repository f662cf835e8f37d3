"""The text of a list, read forward in pieces: its encoding is told by its first bytes, and it is never held whole."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

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
