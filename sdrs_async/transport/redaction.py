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

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from sdrs_async.transport.spellings import Reading, decoded_words, readings

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
    """What is struck out of texts that may hold an access key: all but the letters that are shown.

    Of a short one it is all: the rest alone could be a part of any word.
    """
    return access_key[_SHOWN:] if len(access_key) >= _SHOWN + _RUN else access_key


def secrets_sent(headers: Mapping[str, str]) -> tuple[str, ...]:
    """What of a request's headers is not to be shown: tokens, signatures, passwords, all but the first of a key."""
    values = [(name.lower(), value) for name, value in headers.items() if name.lower() not in _HARMLESS]
    return tuple(found for name, value in values for found in (_credentials(value) if "auth" in name else (value,)))


def _credentials(value: str) -> tuple[str, ...]:
    """Of an Authorization header: `Basic ...` with the password inside, a signature and its key, any other without its
    scheme.
    """
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
    """A quick look at the id that nearly every reply has: whether a secret that was sent in a header cannot be in it.

    In the digits of an id nothing is spelled, so that only a secret of such digits alone could be in them; of one that
    is more than the id, or less, all is found, and not what overlaps it.
    """
    if not _USUAL_ID.fullmatch(text):
        return False
    return not any(text in value or (value in text and len(value) >= _SHORTEST) for value in values)


def user_info_of(url: str) -> tuple[str, ...]:
    """What is secret of `user:password@` in a URL, or in what is nearly one: all of it, and the password, or what there
    is in its place; percent-encoded and decoded.
    """
    place = _user_info(url)
    if place is None:
        return ()
    raw = url[slice(*place)]
    pairs = [(info, info.partition(":")) for info in (raw, unquote(raw))]
    secrets = (text for info, (user, _, password) in pairs for text in (info, password or user, unquote(password)))
    return tuple(dict.fromkeys(filter(None, secrets)))


def without_user_info(text: str) -> str:
    """A text with blanks folded, and `***@` in each word of it for the user and password that a URL may hold.

    Sooner too much than too little: a password may hold any mark. An address of mail has no colon.
    """
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


# ---- finding --------------------------------------------------------------------------------------------------------


class _Ready(NamedTuple):
    """What to look for. Of a long secret its `pieces`, also of the bytes that base64 is made of, with a character for
    each byte; of a short one the whole `word`, and what it is as such bytes.
    """

    pieces: frozenset[str]
    word: re.Pattern[str] | None = None
    encoded: tuple[str, ...] = ()


@lru_cache(_REMEMBERED)
def _made_ready(secret: str) -> _Ready:
    encoded = tuple(dict.fromkeys(_encodings(secret)))
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


def _cases(text: str) -> Iterator[str]:
    """As it is and, of one in capitals alone, as access keys are, in small letters too: it is the same key."""
    yield text
    if text.isupper():
        yield text.lower()


def _encodings(text: str) -> Iterator[str]:
    yield text.encode("utf-8", "surrogatepass").decode("latin-1")
    if not text.isascii():
        yield text.encode("latin-1", "replace").decode("latin-1")


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
