"""Takes secrets out of what servers and libraries wrote, in whatever spelling they echo them. Pure, no I/O.

What is promised for each secret: no eight characters that follow each other in it are left in a text, neither as they
are, nor as an escape of JSON, Python or a shell, an entity of HTML, percent-encoding (`+` for a blank too), quotes that
are doubled, base64 at any alignment (so within `user:secret` too), nor as one of these inside another, up to three deep
(inside base64: of ASCII). Of one in capitals alone, as access keys are, neither in small letters. Blanks and what
cannot be printed do not count: messages fold them. A text in which more kinds of spellings are mixed than anybody mixes
is read in a few of all ways only: reading holds the event loop.

A secret of less than eight characters is struck as a whole where no letter or digit adjoins it, and wherever base64
holds it as it is. One of less than four cannot be told from the words around it, and is left.

The price: a secret that is a word of messages, or has eight characters of one (`project`, `Protection1`), takes that
word out of them. Whether a server echoes the secret or speaks of protection groups, nobody can tell.

This is against servers that echo. One that means harm knows the secret anyway, and spellings that nobody reads.
"""

from __future__ import annotations

import html
import re
from base64 import b64decode
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple
from urllib.parse import unquote

_STRUCK = "***"
_SHORTEST = 4
_RUN = 8
_REMEMBERED = 16  # secrets; a token of 9000 characters takes a millisecond and a megabyte to make ready
_USUAL_ID = re.compile(r"(?:req-)?(?:[0-9a-f-]{1,64}|[0-9A-F-]{1,64})")
_PERCENT = re.compile("%(40|3a|2f)", re.IGNORECASE)  # @ : /
_SHOWN = 4  # letters of an access key
_KEY = re.compile(r"\b(?:Access=([^,\s]+)|Credential=([^/,\s]+))")
_OPENING = re.compile("/(?:  )?/")

# Headers of a credential that are worth nothing to anybody else.
_HARMLESS = frozenset({"x-sdk-date", "x-project-id", "x-domain-id", "host", "content-type"})


class Secrets:
    """Texts that must not be shown, made ready to be struck out of others. Its `repr` shows none of them."""

    __slots__ = ("_ready", "_texts")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = tuple(text for text in dict.fromkeys(texts) if len(_visible(text)) >= _SHORTEST)
        self._ready = tuple(map(_made_ready, self._texts))

    def __repr__(self) -> str:
        return "Secrets(***)"

    def __reduce__(self) -> tuple[type[Secrets], tuple[tuple[str, ...]]]:
        return Secrets, (self._texts,)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def struck(self, text: str) -> str:
        """The text with `***` for each piece of a secret; the text itself where it holds none."""
        spans: list[tuple[int, int]] = []
        for reading in readings(text) if self._ready else ():
            if found := [*self._plain(reading), *self._in_base64(reading)]:
                starts, ends = reading.places()
                spans += [(starts[begin], ends[end - 1]) for begin, end in found]
        return _without(text, spans) if spans else text

    def _plain(self, reading: Reading) -> Iterator[tuple[int, int]]:
        pieces = _pieces(_visible(reading.chars))
        for secret in self._ready:
            if not secret.pieces.isdisjoint(pieces):
                seen = [at for at, char in enumerate(reading.chars) if _is_visible(char)]
                yield from (
                    (seen[at], seen[at + _RUN - 1] + 1) for at, piece in enumerate(pieces) if piece in secret.pieces
                )
            if secret.word is not None:
                yield from (match.span() for match in secret.word.finditer(reading.chars))

    def _in_base64(self, reading: Reading) -> Iterator[tuple[int, int]]:
        for place, decoded in decoded_words(reading.chars):
            pieces = _pieces(decoded)
            for secret in self._ready:
                if not secret.pieces.isdisjoint(pieces):
                    for at in (at for at, piece in enumerate(pieces) if piece in secret.pieces):
                        yield place + at * 4 // 3, place + ((at + _RUN) * 4 + 2) // 3
                for whole in secret.encoded:
                    if (at := decoded.find(whole)) >= 0:
                        yield place + at * 4 // 3, place + ((at + len(whole)) * 4 + 2) // 3


def shown_key(access_key: str) -> str:
    """An access key as it is shown: enough to tell it from others, at most its first four letters, and half of it."""
    return f"{access_key[: min(_SHOWN, len(access_key) // 2)]}..."


def hidden_of_key(access_key: str) -> str:
    """What of a key is struck out of texts: all but what is shown; of a short one all: its rest is in any word."""
    return access_key[_SHOWN:] if len(access_key) >= _SHOWN + _RUN else access_key


def secrets_sent(headers: Mapping[str, str]) -> tuple[str, ...]:
    """What of a request's headers is not to be shown: tokens, signatures, passwords, all but the first of a key."""
    values = [(name.lower(), value) for name, value in headers.items() if name.lower() not in _HARMLESS]
    return tuple(found for name, value in values for found in (_credentials(value) if "auth" in name else (value,)))


def _credentials(value: str) -> tuple[str, ...]:
    """Of an Authorization header: the password in `Basic ...`, a signature and its key, others without their scheme."""
    signature = re.search(r"Signature=(.+)", value)
    if signature:
        key = _KEY.search(value)
        return (signature[1], hidden_of_key(key[1] or key[2])) if key else (signature[1],)
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "basic":
        return (rest.strip() or value,)
    try:
        user, _, password = b64decode(rest, validate=True).decode("utf-8", "replace").partition(":")
    except ValueError:
        return (rest,)
    return rest, password or user  # a token, perhaps, in the place of the user


def is_plain_id(text: str, values: Iterable[str]) -> bool:
    """A quick look at the id that nearly every reply has: whether no secret that was sent in a header can be in it.

    In its digits nothing is spelled: only a secret of such digits could be in them. One that overlaps it is not found.
    """
    if not _USUAL_ID.fullmatch(text):
        return False
    return not any(text in value or (value in text and len(value) >= _SHORTEST) for value in values)


def user_info_of(url: str) -> tuple[str, ...]:
    """What is secret of `user:password@` in what may be a URL: all, and the password, percent-encoded and decoded."""
    place = _user_info(url)
    if place is None:
        return ()
    raw = url[slice(*place)]
    pairs = [(info, info.partition(":")) for info in (raw, unquote(raw))]
    secrets = (text for info, (user, _, password) in pairs for text in (info, password or user, unquote(password)))
    return tuple(dict.fromkeys(filter(None, secrets)))


def without_user_info(text: str) -> str:
    """A text, blanks folded, with `***@` for users and passwords in its URLs, sooner too often than too seldom."""
    return " ".join(map(_word_without_user_info, text.split()))


def _word_without_user_info(word: str) -> str:
    place = _user_info(word)
    return word if place is None else f"{word[: place[0]]}***@{word[place[1] + 1 :]}"


def _user_info(word: str) -> tuple[int, int] | None:
    """From where to which `@` there is `user:password`, or whatever follows `//`; percent-encoded or not."""
    marks = _PERCENT.sub(lambda found: f"  {chr(int(found[1], 16))}", word)  # each is as long as before
    end = marks.rfind("@")
    opening = _OPENING.search(marks, 0, max(end, 0))
    if opening is None and ":" not in marks[: max(end, 0)]:
        return None
    return (opening.end() if opening else 0), end


class _Ready(NamedTuple):
    """What to look for. Of a long secret its `pieces`, also of the bytes that base64 is made of, with a character for
    each byte; of a short one the whole `word`, and what it is as such bytes.
    """

    pieces: frozenset[str]
    word: re.Pattern[str] | None = None
    encoded: tuple[str, ...] = ()


@lru_cache(_REMEMBERED)
def _made_ready(secret: str) -> _Ready:
    ways = ("utf-8", "surrogatepass"), ("latin-1", "replace")
    encoded = tuple(dict.fromkeys(secret.encode(*way).decode("latin-1") for way in ways))
    visible = _visible(secret)
    if len(visible) < _RUN:
        return _Ready(frozenset(), _word(secret), encoded)
    return _Ready(frozenset(piece for text in {visible, *encoded} for case in _cases(text) for piece in _pieces(case)))


def _word(secret: str) -> re.Pattern[str]:
    """Blanks in it may be others; there are none where it has none, as between two words of a message."""
    parts = [part for part in map(_visible, secret.split()) if part]
    before = "(?<![^\\W_])" if parts[0][0].isalnum() else ""
    after = "(?![^\\W_])" if parts[-1][-1].isalnum() else ""
    return re.compile(before + r"\s*".join(map(re.escape, parts)) + after)


def _cases(text: str) -> tuple[str, ...]:
    """As it is and, of one in capitals alone, as access keys are, in small letters too: it is the same key."""
    return (text, text.lower()) if text.isupper() else (text,)


def _pieces(text: str) -> list[str]:
    return [text[begin : begin + _RUN] for begin in range(len(text) - _RUN + 1)]


def _visible(text: str) -> str:
    return text.replace(" ", "") if text.isprintable() else "".join(filter(_is_visible, text))


def _is_visible(char: str) -> bool:
    return char.isprintable() and char != " "


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept, at = [], -1
    for begin, end in sorted(spans):
        if begin > at:
            kept += [text[max(at, 0) : begin], _STRUCK]
        at = max(at, end)
    return "".join([*kept, text[at:]])


# ---- how servers and libraries spell what they were sent

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


def _bytewise(mark: str) -> str:
    """A pattern for one character as UTF-8, byte by byte in hexadecimal, or else for a single byte."""
    byte, more = f"{mark}[0-9a-fA-F]{{2}}", f"{mark}[89abAB][0-9a-fA-F]"
    leads = enumerate(("[cdCD]", "[eE]", "[fF]"), 1)
    return "|".join([*(f"{mark}{lead}[0-9a-fA-F](?:{more}){{{count}}}" for count, lead in leads), byte])


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
_PERCENTS = re.compile(_bytewise("%"))
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
    (_PERCENTS, lambda match: _from_bytes(match[0].replace("%", ""))),
    (_PLUS, lambda match: " "),
    (_DOUBLED, lambda match: match[0][-1]),
    *((_LONG_BASE64, partial(_plain_words, shift)) for shift in range(4)),
)
