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

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdrs_async.cloud.answers import one_line, parse_error
from sdrs_async.transport import redaction
from sdrs_async.transport.redaction import Secrets, hidden_of_key, is_plain_id, secrets_sent, shown_key, user_info_of
from sdrs_async.transport.redaction import readings as product_readings
from tests.support.soak import EXAMPLES

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


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


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
    "base64 of base64": lambda text: _base64(_base64(text)),
    "base64 of a header": lambda text: _base64(f"Authorization: Basic {_base64('ann:' + text)}\r\n"),
    "base64 of JSON": lambda text: _base64(json.dumps({"password": text}, indent=1)),
    "base64 of HTML": lambda text: _base64("".join(f"&#{ord(char)};" for char in text)),
    "base64 of escapes": lambda text: _base64("x:" + "".join(f"\\u{unit:04x}" for unit in _utf16(text))),
    "base64 of percent": lambda text: _base64("xy=" + _percent(text)),
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
        for decoded in _read_base64(one):
            yield decoded
            yield html.unescape(_read_json(decoded))
            yield urllib.parse.unquote(decoded)
            if decoded.isascii():
                yield from _read_base64(decoded)


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
@settings(max_examples=1 + EXAMPLES // 5)  # of each spelling
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
@settings(max_examples=1 + EXAMPLES // 5)  # of each spelling
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
        ({"Authorization": "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature=00ff"}, ["00ff", "AK"]),
        ({"Authorization": "SDK-HMAC-SHA256 Access=ABCDEFGHIJKL, Signature=00ff"}, ["00ff", "EFGHIJKL"]),
        (
            {"Authorization": "SDK-HMAC-SHA256 Credential=ABCDEFGHIJKL/20240102/eu-de/sdrs/sdk_request, Signature=00"},
            ["00", "EFGHIJKL"],
        ),
        ({"Authorization": "Basic YW5uOm5ldmVyIG1vcmU="}, ["YW5uOm5ldmVyIG1vcmU=", "never more"]),
        ({"Proxy-Authorization": "Basic b25seS1hLXRva2VuOg=="}, ["b25seS1hLXRva2VuOg==", "only-a-token"]),
        ({"Authorization": "Basic no base64"}, ["no base64"]),
        ({"X-Sdk-Date": "20240102T030405Z", "X-Project-Id": "p1", "X-Security-Token": "tttt"}, ["tttt"]),
    ],
)
def test_of_a_request_s_headers_the_credential_is_secret(headers: dict[str, str], secret: list[str]) -> None:
    """Not the algorithm or the names of headers: messages of gateways speak of these. Of a key all but four letters."""
    assert list(secrets_sent(headers)) == secret


@pytest.mark.parametrize("spelling", ["plain", "percent, all of it", "JSON escapes", "base64", "base64 of JSON"])
def test_an_access_key_in_small_letters_is_the_same_key(spelling: str) -> None:
    """It consists of capitals and digits; of other secrets another case is another secret, or a word of a message."""
    hidden = hidden_of_key("HPUAQWERTYUIOP234567")
    for case in (hidden, hidden.lower(), hidden.capitalize()):
        found = Secrets([hidden]).struck(f"the key {SPELLINGS[spelling](case)} is unknown")
        assert not left(hidden.lower(), found)
        assert not left(hidden, found)
    assert Secrets(["MyPassword1"]).struck("the user or the password is wrong").endswith("the password is wrong")


@pytest.mark.parametrize("form", ["Access={}", "Credential={}/20240102/eu-de/sdrs/sdk_request", "the key {} is locked"])
def test_of_an_access_key_four_letters_are_shown(form: str) -> None:
    """Wherever a text holds one, so that its user knows which it is, and nobody else."""
    key = "ABCDEFGHIJKLMNOPQRST"
    sent = {"Authorization": f"SDK-HMAC-SHA256 Access={key}, SignedHeaders=host, Signature=00ff"}
    text = Secrets(secrets_sent(sent)).struck(form.format(key))
    assert text == form.format("ABCD***")
    assert shown_key(key) == "ABCD..."
    short = Secrets([hidden_of_key("ABCDEFGH")]).struck("the key ABCDEFGH is locked")
    assert (short, shown_key("ABCDEFGH"), shown_key("ABCDE"), shown_key("A")) == (
        "the key *** is locked", "ABCD...", "AB...", "..."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("http://ann:p%40ss@proxy:3128", {"ann:p%40ss", "p%40ss", "ann:p@ss", "p@ss"}),
        ("http://only-a-token@proxy", {"only-a-token"}),
        ("http://only-a-token:@proxy", {"only-a-token:", "only-a-token"}),
        ("http://ann%3Apass@proxy", {"ann%3Apass", "ann:pass", "pass"}),
        ("ann:pass@proxy:1", {"ann:pass", "pass"}),
        ("http://ann:x/y#z@proxy", {"ann:x/y#z", "x/y#z"}),
        ("http://proxy:3128", set()),
        ("proxy:3128", set()),
        ("", set()),
    ],
)
def test_what_is_secret_of_a_proxy_s_url(url: str, secrets: set[str]) -> None:
    """The password, or what there is in its place, and all of the user info; a user beside a password is not."""
    assert set(user_info_of(url)) == secrets


USUAL = ["7b1cf1a6b2a84f1a9c3bd1a0b8f6e6c1", "decf224d-87fe-403a-8721-037a1a45c287", "req-" + "0f" * 16, "7B1CF1A6"]


@pytest.mark.parametrize("value", USUAL)
def test_an_id_of_the_usual_form_is_looked_at_quickly(value: str) -> None:
    """Nearly every reply has one; what was sent beside it does not matter."""
    assert is_plain_id(value, [TOKEN, "0" * 64, "1", "7b1cf1a6b2a84f1a9c3bd1a0b8f6e6c2"])


@pytest.mark.parametrize("secret", ["0123456789abcdef" * 2, "c0ffee99"])
@pytest.mark.parametrize("text", ["{}", "req-{}", "1234-{}"])
def test_a_token_that_looks_like_an_id_is_noticed(text: str, secret: str) -> None:
    """As tokens once were: the id is the token, or has it inside, or is a piece of it."""
    assert not is_plain_id(text.format(secret), ["other", secret])
    assert not is_plain_id(secret[2:7], ["other", secret])


@given(st.one_of(passwords, tokens), st.sampled_from(sorted(SPELLINGS)))
def test_an_id_that_spells_a_secret_is_not_of_the_usual_form(secret: str, spelling: str) -> None:
    """Whatever the spelling: it has the full look."""
    text = SPELLINGS[spelling](secret)
    assert not is_plain_id(text, [secret])


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("http", "Request to https://sdrs.test failed"),
        ("project", "not authorized: identity:list_projects"),
        ("isin", "the group is in status protecting, or incorrect: misinformed"),
        ("ault", "ssl:default"),
        ("2024", "job 20240 of 12024"),
        ("123456", "error 12345678"),
    ],
)
def test_a_short_secret_is_no_part_of_a_word(secret: str, text: str) -> None:
    """Nor the end of one and the beginning of the next."""
    assert Secrets([secret]).struck(text) is text


@pytest.mark.parametrize(
    ("secret", "text", "struck"),
    [
        (
            "hunter2",
            "http://ann:hunter2@proxy, 'hunter2' hunter2. pw_hunter2",
            "http://ann:***@proxy, '***' ***. pw_***",
        ),
        ("!ab1", "x!ab1 and !ab12", "x*** and !ab12"),
        ("h 2 o?", "h  2\no?x", "***x"),
        ("x9\x00yz", "x9yz", "***"),
        ("geh9", base64.b64encode(b"xxgeh9xx").decode(), "eH***eHg="),
        ("größe", f"größe {base64.b64encode('agrößex'.encode()).decode()} Vergrößerung", "*** Y***4 Vergrößerung"),
    ],
)
def test_a_short_secret_is_found_beside_marks(secret: str, text: str, struck: str) -> None:
    """What is no letter or digit ends a word; in base64 there are no words."""
    assert Secrets([secret]).struck(text) == struck


@pytest.mark.parametrize("secret", ["Protection1", "project", "authentication"])
def test_a_secret_that_is_a_word_takes_the_word_with_it(secret: str) -> None:
    """Nobody can tell them apart, and what is secret goes first."""
    assert "***" in Secrets([secret]).struck("Protection group of a project: authentication failed")


# ---- costs ----------------------------------------------------------------------------------------------------------

MIXED = "%2525&amp;amp;\\\\\\\\u0025&#37;25+''''%5c%5c&#x26;lt;bm90aGluZyAlMjUgYXQgYWxs" * 9


def test_a_text_is_read_in_so_many_ways_at_most() -> None:
    """Reading holds the event loop: a message of all kinds of spellings is not read in all their combinations."""
    assert len(list(product_readings(MIXED[:500]))) == 24


def test_a_secret_is_made_ready_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each answer: a token may have nine thousand characters."""
    cut: list[int] = []
    pieces = redaction._pieces

    def counting(text: str) -> list[str]:
        cut.append(len(text))
        return pieces(text)

    monkeypatch.setattr(redaction, "_pieces", counting)
    token = "once/" + TOKEN * 3
    for _ in range(3):
        held = Secrets([token])
        assert Secrets((token, "another-secret", *held)).struck(f"you sent {token[7:90]}") == "you sent ***"
    assert cut.count(len(token)) == 1
