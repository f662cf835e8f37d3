"""Secrets in whatever spelling a server echoes them: none is left, and a text without any is left alone."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import shlex
import string
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdrs_async.redaction import Secrets, may_echo, secrets_sent
from sdrs_async.wire import one_line, parse_error

RUN = 8
TOKEN = "gAAAAABmZ-" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_" * 40
AWKWARD = "pä\"ss\\w/ör d'+%41&lt;\\u0041\N{GRINNING FACE}x"
SENTENCES = [
    "The throttling threshold has been reached: policy user over ratelimit,limit:200,time:5 minute",
    "APIGW.0301: Incorrect IAM authentication information: decrypt token fail",
    "The request signature we calculated does not match; begin it with SDK-HMAC-SHA256 Access=AK, SignedHeaders=host",
    "Request 7b1cf1a6b2a84f1a9c3bd1a0b8f6e6c1 failed: 'project' & \"group\" are 100% gone (see https://a.test/?q=1+2)",
    r"C:\Users\ann\new &amp; nothing but eyJlcnJvciI6ICJub3RoaW5nIn0= in base64, %7Bnothing%7D",
]


# ---- spellings, each by what really spells so ------------------------------------------------------------------------


def _each(spell: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "".join(map(spell, text))


def _utf16(text: str) -> list[int]:
    data = text.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2)]


def _percent(text: str, form: str = "%{:02X}") -> str:
    return "".join(form.format(byte) for byte in text.encode())


def _csv(text: str) -> str:
    file = io.StringIO()
    csv.writer(file).writerow(["x", text])
    return file.getvalue()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": json.dumps,
    "JSON with other characters": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON with slashes": lambda text: json.dumps(text).replace("/", r"\/"),
    "JSON of a careful server": lambda text: json.dumps(text).replace("=", r"\u003d").replace("&", r"\u0026"),
    "JSON escapes": lambda text: "".join(f"\\u{unit:04x}" for unit in _utf16(text)),
    "JSON escapes in capitals": lambda text: "".join(f"\\u{unit:04X}" for unit in _utf16(text)),
    "escapes with braces": _each(lambda char: f"\\u{{{ord(char):x}}}"),
    "repr": repr,
    "ascii": ascii,
    "repr of bytes": lambda text: repr(text.encode()),
    "a shell's quotes": shlex.quote,
    "SQL's quotes": lambda text: "'" + text.replace("'", "''") + "'",
    "HTML": html.escape,
    "decimal entities": _each(lambda char: f"&#{ord(char)};"),
    "hexadecimal entities": _each(lambda char: f"&#x{ord(char):x};"),
    "hexadecimal entities in capitals": _each(lambda char: f"&#X{ord(char):X};"),
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "percent, partly": urllib.parse.quote,
    "percent, all of it": _percent,
    "percent in small letters": lambda text: _percent(text, "%{:02x}"),
    "a form": urllib.parse.quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 with the user": lambda text: base64.b64encode(b"ann:" + text.encode()).decode(),
    "base64, one further": lambda text: base64.urlsafe_b64encode(b"x" + text.encode() + b"yz").decode().rstrip("="),
    "base64, two further": lambda text: base64.b64encode(b"xy" + text.encode() + b"z").decode(),
    "base64 in JSON": lambda text: json.dumps(base64.b64encode(text.encode()).decode()).replace("/", r"\/"),
    "base64 in a query": lambda text: urllib.parse.quote_plus(base64.b64encode(text.encode())),
    "JSON in HTML": lambda text: html.escape(json.dumps(text)),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON in a query": lambda text: urllib.parse.quote_plus(json.dumps(text)),
    "HTML in JSON": lambda text: json.dumps(html.escape(text)),
    "CSV": _csv,
}


# ---- reading back, by others than the product ------------------------------------------------------------------------


def _read_json(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _read_base64(text: str) -> Iterator[str]:
    for word in text.split("***"):
        plain = "".join(char for char in word if char in string.ascii_letters + string.digits + "+/-_")
        for shift in range(4):
            part = plain[shift : shift + (len(plain) - shift) // 4 * 4].replace("-", "+").replace("_", "/")
            yield base64.b64decode(part).decode("utf-8", "replace")


def readings(text: str) -> Iterator[str]:
    """What readers may make of a text."""
    for one in {
        text,
        _read_json(text),
        html.unescape(text),
        urllib.parse.unquote(text),
        urllib.parse.unquote_plus(text),
    }:
        yield one
        yield html.unescape(_read_json(one))
        yield from _read_base64(one)


def left(secret: str, text: str) -> list[str]:
    """Pieces of a secret that can still be read in a text; blanks do not count."""
    secret = "".join(secret.split())
    size = min(RUN, len(secret))
    pieces = {secret[at : at + size] for at in range(len(secret) - size + 1)}
    seen = {"".join(one.split()) for one in readings(text)}
    return [piece for one in seen for piece in pieces if piece in one]


# Blanks and unprintables at will between characters that show; surrogates have no UTF-8, so nothing sends them.
characters = st.characters(exclude_categories=("Cs", "Cc", "Cn", "Zs", "Zl", "Zp", "Cf", "Co"))
awkward = st.sampled_from("\"'\\/&%+=;<>#~ \t{}$`!@ABxyz019äßЖ漢\N{GRINNING FACE}")
passwords = st.text(st.one_of(awkward, characters), min_size=RUN, max_size=40).filter(
    lambda text: sum(not char.isspace() for char in text) >= RUN
)
tokens = st.text(string.ascii_letters + string.digits + "+/=-_.", min_size=20, max_size=400)
words = st.lists(st.sampled_from(["no", "token", "was", "wrong:", "(see", "above)", "project", "401"]), max_size=5).map(
    " ".join
)


@pytest.mark.parametrize("spelling", SPELLINGS)
@settings(max_examples=20)
@given(secret=st.one_of(passwords, tokens), before=words, after=words)
@example(secret=AWKWARD, before="you sent", after="is wrong")
@example(secret=TOKEN, before="you sent", after="is wrong")
def test_no_spelling_of_a_secret_is_left(spelling: str, secret: str, before: str, after: str) -> None:
    """Whatever it consists of, and whatever stands around it: no eight characters of it in a row."""
    struck = Secrets([secret]).struck(f"{before} {SPELLINGS[spelling](secret)} {after}")
    assert not left(secret, struck), struck
    assert "***" in struck
    assert struck.startswith(f"{before} ")
    assert struck.endswith(f" {after}")


@pytest.mark.parametrize("spelling", SPELLINGS)
@settings(max_examples=20)
@given(secret=st.one_of(passwords, tokens), cut=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@example(secret=TOKEN, cut=(0.1, 0.3))
def test_a_piece_of_a_text_that_was_cut_is_struck(spelling: str, secret: str, cut: tuple[float, float]) -> None:
    """A token is longer than a message, and a body ends at 64 KiB: inside a spelling, too."""
    text = SPELLINGS[spelling](secret)
    begin, end = sorted(int(share * len(text)) for share in cut)
    struck = Secrets([secret]).struck(text[begin:end])
    assert not left(secret, struck), struck


@given(
    secret=st.one_of(passwords, tokens),
    chosen=st.lists(st.sampled_from(["plain", "\\u{:04x}", "&#{};", "&#x{:X};"]), min_size=1, max_size=12),
)
def test_a_secret_may_be_spelled_in_part(secret: str, chosen: list[str]) -> None:
    """Character by character, as JSON or HTML does it that escapes some of them only."""
    json_like = [form if form.startswith("\\") else "plain" for form in chosen]
    html_like = [form if form.startswith("&") else "plain" for form in chosen]
    for forms, always in ((json_like, '\\"'), (html_like, "&")):
        text = ""
        for at, char in enumerate(secret):
            form = forms[at % len(forms)]
            if char in always and form == "plain":
                text += f"\\{char}" if always != "&" else "&amp;"
            elif form == "plain":
                text += char
            else:
                text += "".join(form.format(unit) for unit in (_utf16(char) if form[0] == "\\" else [ord(char)]))
        struck = Secrets([secret]).struck(text)
        assert not left(secret, struck), (text, struck)


@given(secret=tokens.filter(lambda text: len(set(text)) > 8), sentence=st.sampled_from(SENTENCES))
def test_what_holds_no_secret_stays_as_it_is(secret: str, sentence: str) -> None:
    """The very text, whatever looks like an escape in it."""
    assert Secrets([secret]).struck(sentence) is sentence


@given(st.text(), st.lists(st.text(max_size=3)))
def test_short_secrets_are_left_in_their_words(text: str, secrets: list[str]) -> None:
    """Of less than four characters: to strike them would strike half of the words."""
    assert Secrets(secrets).struck(text) is text


@pytest.mark.parametrize("secret", ["1234", "123456", "hunter2"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_short_password_is_struck_as_a_whole(spelling: str, secret: str) -> None:
    """From four characters on, a passcode of six digits among them; a piece of it stays."""
    secrets = Secrets([secret])
    assert not left(secret, secrets.struck(f"got {SPELLINGS[spelling](secret)} from you"))
    assert secrets.struck(f"got {secret[:-1]} from you") == f"got {secret[:-1]} from you"


def test_messages_stay_readable() -> None:
    """Only the secret goes, and what is quoted around it stays."""
    secrets = Secrets([AWKWARD, "the-other-secret"])
    assert secrets.struck(f"{AWKWARD} is wrong, {AWKWARD!r} too; the-other-secret!") == "*** is wrong, '***' too; ***!"
    assert Secrets(["x" * 8]).struck("") == ""
    assert Secrets(["correct horse battery"]).struck("a correct  horse\nbattery is wrong") == "a *** is wrong"


def test_a_message_made_of_a_body_shows_nothing() -> None:
    """The whole way: escaped in a body, decoded, folded, cut to the length of a message."""
    body = json.dumps({"error_msg": f"you sent {html.escape(json.dumps(AWKWARD + TOKEN))}"}).encode()
    struck = Secrets([AWKWARD + TOKEN]).struck(parse_error(body).message)
    assert struck == "you sent &quot;***..."
    assert Secrets([TOKEN]).struck(one_line("a" * 300 + TOKEN)) == "a" * 300 + "***..."


def test_what_holds_secrets_does_not_show_them() -> None:
    """Its repr stands in tracebacks."""
    assert repr([Secrets([TOKEN])]) == "[Secrets(***)]"
    assert not hasattr(Secrets([TOKEN]), "__dict__")


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({"X-Auth-Token": TOKEN, "Host": "sdrs.test"}, [TOKEN]),
        ({"Authorization": f"Bearer {TOKEN}"}, [TOKEN]),
        ({"authorization": TOKEN}, [TOKEN]),
        ({"Authorization": "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature=00ff"}, ["00ff"]),
        ({"Authorization": "Basic YW5uOm5ldmVyIG1vcmU="}, ["YW5uOm5ldmVyIG1vcmU=", "never more"]),
        ({"Authorization": "Basic no base64"}, ["no base64"]),
        ({"X-Sdk-Date": "20240102T030405Z", "X-Project-Id": "p1", "X-Security-Token": "tttt"}, ["tttt"]),
    ],
)
def test_of_a_request_s_headers_the_credential_is_secret(headers: dict[str, str], secret: list[str]) -> None:
    """Not the algorithm, the key's name or the names of headers: messages of gateways speak of these."""
    assert list(secrets_sent(headers)) == secret


@given(secret=tokens, begin=st.integers(0, 400), size=st.integers(15, 100), before=st.text("0123", max_size=9))
def test_an_id_that_is_a_piece_of_a_token_is_noticed(secret: str, begin: int, size: int, before: str) -> None:
    """The quick look that every reply gets, for fifteen characters or more; thirty-one of a long token."""
    least = 15 if len(secret) <= 256 else 31
    begin %= max(1, len(secret) - least + 1)
    assert may_echo(f"{before}{secret[begin : begin + max(size, least)]}{before}", ["other", secret])


@pytest.mark.parametrize("value", ["7b1cf1a6b2a84f1a9c3bd1a0b8f6e6c1", "", "r1"])
def test_an_id_of_its_own_is_not_looked_at_twice(value: str) -> None:
    """Nearly every reply has one."""
    secrets: Any = [TOKEN.upper(), "0" * 64]
    assert not may_echo(value, secrets) or len(value) < RUN
