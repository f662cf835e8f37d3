"""How servers and libraries spell what they were sent: a text, and all that decoders make of it. Pure, no I/O."""

from __future__ import annotations

import html
import re
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

# Spellings inside spellings included. Hardly any text has more than two; more would hold the event loop for long.
_READINGS = 24
_DEPTH = 3

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}")
# Of a secret of four characters, packed twice.
_LONG_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_STANDARD = str.maketrans("-_", "+/")
# Ids are everywhere, and no text decodes to these sixteen characters only.
_PLAIN_ID = re.compile(r"[0-9a-f-]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as it is understood by whoever decodes it: from `source` by what a pattern's matches mean in it."""

    chars: str
    source: Reading | None = None
    pattern: re.Pattern[str] = re.compile("")
    meaning: Callable[[re.Match[str]], str] = str

    def decoded(self, pattern: re.Pattern[str], meaning: Callable[[re.Match[str]], str]) -> Reading:
        """With what each match means in its place."""
        chars = pattern.sub(meaning, self.chars)
        return self if chars == self.chars else Reading(chars, self, pattern, meaning)

    def places(self) -> tuple[Sequence[int], Sequence[int]]:
        """Where in the text that was read first each character begins, and where it ends."""
        if self.source is None:
            return range(len(self.chars)), range(1, len(self.chars) + 1)
        source_starts, source_ends = self.source.places()
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for match in self.pattern.finditer(self.source.chars):
            begin, end = match.span()
            meant = self.meaning(match)
            if meant != match[0]:
                starts += [*source_starts[at:begin], *[source_starts[begin]] * len(meant)]
                ends += [*source_ends[at:begin], *[source_ends[end - 1]] * len(meant)]
                at = end
        return [*starts, *source_starts[at:]], [*ends, *source_ends[at:]]


def readings(text: str) -> Iterable[Reading]:
    """The text as it is, and as each decoder reads it, and what these make of each other's readings."""
    last = [Reading(text)]
    found = {text: last[0]}
    for _ in range(_DEPTH):
        decoded = (one.decoded(*decoder).decoded(_PAIR, _joined) for one in last for decoder in _DECODERS)
        last = []
        for one in decoded:
            if one.chars not in found:
                found[one.chars] = one
                last.append(one)
            if len(found) == _READINGS:
                return found.values()
    return found.values()


def decoded_words(text: str) -> Iterator[tuple[int, str]]:
    """What words of base64 are, wherever their first group of four may have begun: where that is, and a character for
    each byte. Of any other word that is rubbish.
    """
    for word in _BASE64.finditer(text):
        if not _PLAIN_ID.fullmatch(word[0]):
            for shift in range(4):
                yield word.start() + shift, _unpacked(word[0], shift)


def _unpacked(word: str, shift: int) -> str:
    size = len(word) - shift
    return a2b_base64(word[shift:].translate(_STANDARD) + "A" * (-size % 4))[: size * 3 // 4].decode("latin-1")


# ---- decoders -------------------------------------------------------------------------------------------------------


def _bytewise(mark: str) -> str:
    """A pattern for one character as UTF-8, byte by byte in hexadecimal, or else for a single byte."""
    byte, more = f"{mark}[0-9a-fA-F]{{2}}", f"{mark}[89abAB][0-9a-fA-F]"
    longer = (
        f"{mark}{lead}[0-9a-fA-F](?:{more}){{{count}}}" for count, lead in enumerate(("[cdCD]", "[eE]", "[fF]"), 1)
    )
    return "|".join([*longer, byte])


def _from_bytes(digits: str) -> str:
    data = bytes.fromhex(digits)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _character(number: int) -> str:
    return chr(number) if number < 0x110000 else ""


_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_ESCAPE = (
    r"\\u\{(?P<braced>[0-9a-fA-F]{1,6})\}|\\u(?P<short>[0-9a-fA-F]{4})|\\U(?P<long>[0-9a-fA-F]{8})|"
    r"\\(?P<octal>[0-7]{1,3})|\\(?P<blank>[nrtbfvae])|\\(?P<same>.)"
)
_SLASHED = r"\\x"
# `\xc3\xa9` is one character in bytes, and two in a string.
_ESCAPE_OF_BYTES = re.compile(f"(?P<bytes>{_bytewise(_SLASHED)})|{_ESCAPE}", re.DOTALL)
_ESCAPE_OF_TEXT = re.compile(rf"(?P<bytes>\\x[0-9a-fA-F]{{2}})|{_ESCAPE}", re.DOTALL)
_ENTITY = re.compile(r"&#(?P<decimal>\d{1,7});?|&#[xX](?P<hex>[0-9a-fA-F]{1,6});?|&[A-Za-z][A-Za-z0-9]{1,31};?")
_PERCENT = re.compile(_bytewise("%"))
_PLUS = re.compile(r"\+")
# What shells and SQL make of a quote inside quotes.
_DOUBLED = re.compile(r"""'"'"'|'\\''|''|\"\"""")


def _escaped(match: re.Match[str]) -> str:
    if match["bytes"]:
        return _from_bytes(match["bytes"].replace(r"\x", ""))
    if code := match["braced"] or match["short"] or match["long"]:
        return _character(int(code, 16))
    if match["octal"]:
        return chr(int(match["octal"], 8))
    return " " if match["blank"] else match["same"]


def _entity(match: re.Match[str]) -> str:
    if match["decimal"] or match["hex"]:
        return _character(int(match["decimal"] or match["hex"], 10 if match["decimal"] else 16))
    return html.unescape(match[0])


def _plain_words(shift: int, match: re.Match[str]) -> str:
    """What a word of base64 says, if that is plain text, which may be spelled in turn."""
    if _PLAIN_ID.fullmatch(match[0]):
        return match[0]
    text = _unpacked(match[0], shift)
    return text if text.isascii() and "".join(text.split()).isprintable() else match[0]


_DECODERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_ESCAPE_OF_BYTES, _escaped),
    (_ESCAPE_OF_TEXT, _escaped),
    (_ENTITY, _entity),
    (_PERCENT, lambda match: _from_bytes(match[0].replace("%", ""))),
    (_PLUS, lambda match: " "),
    (_DOUBLED, lambda match: match[0][-1]),
    *((_LONG_BASE64, partial(_plain_words, shift)) for shift in range(4)),
)
