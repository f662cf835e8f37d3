"""Takes secrets out of what servers and libraries wrote, in whatever spelling they echo them. Pure, no I/O.

What is promised for each secret: no eight characters that follow each other in it are left in a text, neither as they
are nor as an escape of JSON, Python or a shell, an entity of HTML, percent-encoding (`+` for a blank too), quotes that
are doubled, base64 at any alignment (so within `user:secret` too), nor as one of these inside another. A secret of less
than eight characters is struck as a whole. One of less than four cannot be told from the words around it, and is left.
Blanks and what cannot be printed do not count: messages fold them.

This is against servers that echo. One that means harm knows the secret anyway, and spellings that nobody reads.
"""

from __future__ import annotations

import html
import re
from base64 import b64decode
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import AnyStr

__all__ = ["Secrets", "may_echo", "secrets_sent"]

_STRUCK = "***"
_SHORTEST = 4
_RUN = 8
_LONG = 256  # characters from which on a look for each piece of an id would take microseconds
# Readings of one text, spellings inside spellings included. Hardly any text has more than two.
_READINGS = 40
_DEPTH = 3

# Headers of a credential that are worth nothing to anybody else.
_HARMLESS = frozenset({"x-sdk-date", "x-project-id", "x-domain-id", "host", "content-type"})


class Secrets:
    """Texts that must not be shown, made ready to be struck out of others. Its `repr` shows none of them."""

    __slots__ = ("_encoded", "_texts", "_visible")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        visible = {text: _visible(text) for text in texts}
        self._texts = tuple(text for text, shown in visible.items() if len(shown) >= _SHORTEST)
        self._visible = tuple(visible[text] for text in self._texts)
        self._encoded = tuple({encoded for text in self._texts for encoded in _encodings(text)})

    def __repr__(self) -> str:
        return "Secrets(***)"

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def struck(self, text: str) -> str:
        """The text with `***` for each piece of a secret; the text itself where it holds none."""
        spans = [span for reading in _readings(text) for span in self._found(reading)]
        return _without(text, spans) if spans else text

    def _found(self, reading: _Reading) -> Iterator[tuple[int, int]]:
        """Where secrets are, as positions in the text that was read."""
        visible = reading.visible()
        for secret in self._visible:
            for begin in _runs(visible.chars, secret):
                yield visible.starts[begin], visible.ends[begin + min(_RUN, len(secret)) - 1]
        for word in _BASE64.finditer(reading.chars) if self._encoded else ():
            if not _PLAIN_ID.fullmatch(word[0]):
                for begin, end in self._found_in_base64(word[0]):
                    yield reading.starts[word.start() + begin], reading.ends[word.start() + end - 1]

    def _found_in_base64(self, word: str) -> Iterator[tuple[int, int]]:
        """Where in a word of base64 secrets are, wherever its first group of four may have begun."""
        word = word.translate(_STANDARD)
        for shift in range(4):
            whole = a2b_base64(word[shift:] + "A" * (-(len(word) - shift) % 4))
            decoded = whole[: (len(word) - shift) * 3 // 4]
            for secret in self._encoded:
                for begin in _runs(decoded, secret):
                    end = begin + min(_RUN, len(secret))
                    yield shift + begin * 4 // 3, shift + (end * 4 + 2) // 3


def secrets_sent(headers: Mapping[str, str]) -> tuple[str, ...]:
    """What of a request's headers is secret: tokens, signatures, passwords. The key's name in a signature is not."""
    values = [(name.lower(), value) for name, value in headers.items() if name.lower() not in _HARMLESS]
    return tuple(found for name, value in values for found in (_credentials(value) if "auth" in name else (value,)))


def _credentials(value: str) -> tuple[str, ...]:
    """Of an Authorization header: `Basic ...` with the password inside, a signature, any other without its scheme."""
    signature = re.search(r"Signature=(.+)", value)
    if signature:
        return (signature[1],)
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "basic":
        return (rest.strip() or value,)
    try:
        return rest, b64decode(rest, validate=True).decode("utf-8", "replace").partition(":")[2]
    except ValueError:
        return (rest,)


def may_echo(text: str, values: Iterable[str]) -> bool:
    """A quick look at an id, for every reply: whether it may hold fifteen characters of a value, or all of it.

    Of a long value it may miss less than thirty-one. It sees plain ones only, and never misses what is more.
    """
    pieces = [text[begin : begin + _RUN] for begin in range(0, max(1, len(text) - _RUN + 1), _RUN)]
    for value in values:
        for piece in pieces if len(value) <= _LONG else pieces[::3]:
            if piece in value:
                return True
        if _SHORTEST <= len(value) < 2 * _RUN and value in text:
            return True
    return False


# ---- finding --------------------------------------------------------------------------------------------------------

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}")
_STANDARD = str.maketrans("-_", "+/")
# Ids are everywhere, and no text decodes to these sixteen characters only.
_PLAIN_ID = re.compile(r"[0-9a-f-]+")


def _visible(text: str) -> str:
    return _Reading.of(text).visible().chars


def _encodings(text: str) -> Iterator[bytes]:
    """The bytes that base64 is made of."""
    yield text.encode("utf-8", "surrogatepass")
    if not text.isascii():
        yield text.encode("latin-1", "replace")


def _runs(text: AnyStr, secret: AnyStr) -> Iterator[int]:
    """Where in the text any eight characters of the secret begin; a shorter secret: where that does."""
    size = min(_RUN, len(secret))
    return (begin for begin in range(len(text) - size + 1) if text[begin : begin + size] in secret)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept, at = [], -1
    for begin, end in sorted(spans):
        if begin > at:
            kept += [text[max(at, 0) : begin], _STRUCK]
        at = max(at, end)
    return "".join([*kept, text[at:]])


# ---- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text as it is understood by whoever decodes it: character n stands for `text[starts[n]:ends[n]]`."""

    chars: str
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def of(cls, text: str) -> _Reading:
        """The text as it is."""
        return cls(text, range(len(text)), range(1, len(text) + 1))

    def visible(self) -> _Reading:
        """Without blanks, and without what cannot be printed."""
        joined = self.replaced(_PAIR, lambda found: found[0].encode("utf-16", "surrogatepass").decode("utf-16"))
        if joined.chars.isprintable() and " " not in joined.chars:
            return joined
        kept = [at for at, char in enumerate(joined.chars) if char.isprintable() and not char.isspace()]
        return _Reading(
            "".join([joined.chars[at] for at in kept]),
            [joined.starts[at] for at in kept],
            [joined.ends[at] for at in kept],
        )

    def replaced(self, pattern: re.Pattern[str], meaning: Callable[[re.Match[str]], str]) -> _Reading:
        """With what each match means in its place."""
        chars: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for match in pattern.finditer(self.chars):
            begin, end = match.span()
            meant = meaning(match)
            chars += self.chars[at:begin], meant
            starts += [*self.starts[at:begin], *[self.starts[begin]] * len(meant)]
            ends += [*self.ends[at:begin], *[self.ends[end - 1]] * len(meant)]
            at = end
        if not at:
            return self
        chars.append(self.chars[at:])
        return _Reading("".join(chars), [*starts, *self.starts[at:]], [*ends, *self.ends[at:]])


def _readings(text: str) -> Iterable[_Reading]:
    """The text as it is, and as each decoder reads it, and what these make of each other's readings."""
    last = [_Reading.of(text)]
    found = {text: last[0]}
    for _ in range(_DEPTH):
        decoded = (one.replaced(pattern, meaning) for one in last for pattern, meaning in _DECODERS)
        last = []
        for one in decoded:
            if one.chars not in found and len(found) < _READINGS:
                found[one.chars] = one
                last.append(one)
    return found.values()


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


_DECODERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_ESCAPE_OF_BYTES, _escaped),
    (_ESCAPE_OF_TEXT, _escaped),
    (_ENTITY, _entity),
    (_PERCENT, lambda match: _from_bytes(match[0].replace("%", ""))),
    (_PLUS, lambda match: " "),
    (_DOUBLED, lambda match: match[0][-1]),
)
