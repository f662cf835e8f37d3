"""What is true of the service: the path and its ids, the meaning of every answer, and the reading of error bodies."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from sdrs_async.cloud.answers import (
    ErrorBody,
    failure_in,
    json_in,
    one_line,
    parse_error,
    parse_retry_after,
    parse_throttle,
    web_page,
)
from sdrs_async.cloud.calls import check_id, check_target, failures_page, path_of
from sdrs_async.cloud.verdicts import classify
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Rate
from sdrs_async.models import Target, Verdict
from tests.support.soak import EXAMPLES

PROJECT = "0123456789abcdef0123456789abcdef"
GROUP = "decf224d-87fe-403a-8721-037a1a45c287"

# ---- the path and its ids


def test_the_path_is_that_of_the_vendors_page() -> None:
    """The call is DeleteServerGroupFailureJobs, one group's own failed tasks."""
    path = path_of(Target(PROJECT, GROUP))
    assert path == f"/v1/{PROJECT}/task-center/{GROUP}/failure-jobs/batch"


DANGEROUS = [
    *("", " ", ".", "..", "...", "....", "a..b", "batch", "BATCH", "Batch", "failure-jobs", "Failure-Jobs"),
    *(
        "failure-job\N{LATIN SMALL LETTER LONG S}",
        "a/b",
        "/",
        "//",
        "a?b",
        "a#b",
        "100%",
        "%2e%2e",
        "%2f",
        "a\\b",
        "a;b",
    ),
    *(
        "a b",
        " a",
        "a ",
        "a\n",
        "a\r\nHost: evil",
        "a\tb",
        "a\x00",
        "\x1b[31m",
        "a\x7f",
        "a\x85",
        "a\u2028b",
        "a\u00a0b",
    ),
    *("a\u202eb", "a\u200bb", "\ud800", "\ufeffa", "x" * 257),
    # What a server that folds compatible letters (NFKC) or case reads as one of the above.
    *("\uff42\uff41\uff54\uff43\uff48", "\u24d1atch", "\U0001d41batch", "\u1d47atch", "\uff22ATCH", "batc\u2095"),
    *("fa\u0131lure-jobs", "failure\uff0djobs", "failure\ufe63jobs", "failure-job\u02e2"),
    *(
        "\u2024",
        "\u2025",
        "\u2026",
        "\uff0e",
        "\uff0e\uff0e",
        ".\u2024",
        "\ufe52\ufe52",
        "a\uff0fb",
        "a\uff1fb",
        "a\uff03b",
    ),
    *(
        "\uff052f",
        "\ufe6a2f",
        "a\uff3cb",
        "a\ufe68b",
        "a\uff1bb",
        "a\u037eb",
        "\u2100",
        "a\u00a8b",
        "a\u203eb",
        "\ufdfa",
    ),
    # Letters that leave no mark, and that a server may drop.
    *("ba\u034ftch", "batch\ufe0f", "b\u115fatch", "batch\u3164", ".\u180b.", "batch\U000e0100", "a\uffa0", "\u1160"),
    *(None, 7, b"abc", ["a"], True),
]


@pytest.mark.parametrize("value", DANGEROUS, ids=lambda value: ascii(value)[:20])
@pytest.mark.parametrize("name", ["project_id", "server_group_id"])
def test_an_id_that_could_lead_to_another_call_is_refused(name: str, value: Any) -> None:
    """Empty, reserved, with separators or unseen characters: refused under the name of the field, in one short line."""
    ids: dict[str, Any] = {"project_id": PROJECT, "server_group_id": GROUP, name: value}
    for call in (check_target, path_of):
        with pytest.raises(ConfigError, match=f"^{name} ") as caught:
            call(Target(**ids))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "value", [PROJECT, GROUP, "a", "A-b_9", "x" * 64, "x" * 256, "batch1", "my-failure-jobs", "group.1", "ü~+@:"]
)
def test_other_ids_are_taken_as_they_are(value: str) -> None:
    """An id need not look like today's ids."""
    target = Target(value, value)
    assert check_id("server_group_id", value) == value
    assert check_target(target) is target


def _alike() -> dict[str, list[str]]:
    """Letters by what they turn into, a letter or a sign of interest, when compatible ones or cases are folded."""
    found: dict[str, list[str]] = {letter: [letter] for letter in "batchfilure-jos./?#%\\; "}
    for letter in map(chr, (*range(0x80, 0x10000), *range(0x1D400, 0x1D800), *range(0xE0100, 0xE0110))):
        for folded in {normalize("NFKC", letter).casefold(), letter.upper().casefold()}:
            found.get(folded, []).append(letter)
    return found


ALIKE = _alike()
# Spellings of what must not get through, each letter in one of its forms, with something unseen or unsuspicious among.
FOLDING = st.sampled_from(["batch", "failure-jobs", ".", "..", "a/b", "a%2fb", "a;b", "a b", "a\\b", "a?b#c"]).flatmap(
    lambda word: st.tuples(*(st.sampled_from(ALIKE.get(letter, [letter])) for letter in word)).map("".join)
) | st.lists(
    st.sampled_from(["batch", "\u034f", "\ufe00", "\u00fc", "\u2024", "\uff0f", "a", "\u0307"]), max_size=4
).map("".join)


# Ids of interest are rare among all texts: most of these are near one.
NEAR = st.lists(
    st.sampled_from(
        [*"aZ9-_.~/?#%\\; +&=:@\x00\n\u00fc\u200b\U0001f600\ud800", "..", "batch", "failure-jobs", "%2F", "BATCH"]
    ),
    max_size=6,
).map("".join)


@given(st.text() | NEAR, st.text() | NEAR)
@example("batch", GROUP)
@example(PROJECT, "failure-jobs")
def test_every_pair_of_ids_is_refused_or_addresses_its_own_group(project: str, group: str) -> None:
    """However two readers split and decode the path, it is the group's call with exactly these ids."""
    try:
        path = path_of(Target(project, group))
    except ConfigError:
        return
    raw = path.split("/")
    assert [unquote(part) for part in raw] == ["", "v1", project, "task-center", group, "failure-jobs", "batch"]
    assert path.isascii()
    assert not {".", "..", ""} & set(raw[1:])
    url = URL(f"https://sdrs.test{path}", encoded=True)
    assert url.parts == ("/", "v1", project, "task-center", group, "failure-jobs", "batch")
    assert url.parts == URL(f"https://sdrs.test{path}").parts
    assert url.raw_path == path == urlsplit(str(url)).path
    # The project-wide neighbours: /v1/P/task-center/failure-jobs/batch and /v1/P/task-center/failure-jobs/J
    assert raw[4].lower() not in ("batch", "failure-jobs")


FOLDS: list[Callable[[str], str]] = [
    str.casefold, str.lower, str.upper, unquote,
    *(partial(normalize, form) for form in ("NFC", "NFD", "NFKC", "NFKD")),
]  # fmt: skip


@settings(max_examples=5 * EXAMPLES)  # many ids are none
@given(FOLDING | st.text(max_size=6) | NEAR, st.lists(st.sampled_from(FOLDS), max_size=4))
@example("fa\u0131lure-jobs", [str.upper])
@example("\uff0e\uff0e", [partial(normalize, "NFKC")])
@example("batch\ufe0f", [])
def test_no_id_turns_into_another_call_in_a_server_that_folds_letters(
    group: str, folds: list[Callable[[str], str]]
) -> None:
    """Decoded once more, in another case or Unicode form, without letters that are not seen: an id it stays."""
    try:
        check_id("server_group_id", group)
    except ConfigError:
        return
    read = group
    for fold in folds:
        read = fold(read)
    read = "".join(letter for letter in read if unicodedata.category(letter) not in ("Cf", "Cc", "Zs"))
    assert read.casefold() not in ("", ".", "..", "batch", "failure-jobs")
    assert not set("/?#%\\; ") & set(read)
    assert ".." not in read


@given(FOLDING | st.text(max_size=6) | NEAR, st.text(max_size=6) | NEAR)
@example("\u00fc~+@:", "group.1")
@example("e\u0301", "\u00e9")
@example("{", "}")
def test_a_web_server_reads_exactly_these_ids(project: str, group: str) -> None:
    """What aiohttp's own server takes from the path, and from the query of a list, are the ids that were handed in."""
    try:
        path, listing = path_of(Target(project, group)), failures_page(project, group)
    except ConfigError:
        return
    request = make_mocked_request("DELETE", path)
    match = asyncio.run(ROUTES.resolve(request))
    assert dict(match) == {"project": project, "group": group}
    asked = make_mocked_request("GET", f"{listing.path}?{listing.query}")
    assert dict(asyncio.run(ROUTES.resolve(asked))) == {"project": project}
    assert list(asked.query.items()) == [("limit", "999"), ("offset", "0"), ("server_group_id", group)]


async def _nothing(request: web.Request) -> web.Response:
    return web.Response()


ROUTES = web.UrlDispatcher()
# A part without a pattern of its own takes no braces (aiohttp web_urldispatcher.py).
ROUTES.add_delete("/v1/{project:[^/]+}/task-center/failure-jobs/{job:[^/]+}", _nothing)
ROUTES.add_delete("/v1/{project:[^/]+}/task-center/{group:[^/]+}/failure-jobs/batch", _nothing)
ROUTES.add_get("/v1/{project:[^/]+}/task-center/failure-jobs", _nothing)


def test_the_message_of_a_refused_id_names_each_of_its_letters() -> None:
    """Whoever reads it sees what is wrong: letters that look like others, or like nothing, are spelled out."""
    with pytest.raises(ConfigError, match=r"^id 'b\\uff41tch' is refused: this is a reserved word \(batch\), which"):
        check_id("id", "b\uff41tch")
    with pytest.raises(ConfigError, match=r"^id 'a\\u200bb' is refused: it holds a control or other invisible"):
        check_id("id", "a\u200bb")
    with pytest.raises(ConfigError, match=r"^id 'a\\uff0fb' is refused: an id holds no /$"):
        check_id("id", "a\uff0fb")


# ---- what an answer means

VENDOR_PAGE = {
    204: Verdict.DELETED,
    400: Verdict.REJECTED,
    401: Verdict.UNAUTHORIZED,
    403: Verdict.FORBIDDEN,
    404: Verdict.GONE,
    405: Verdict.REJECTED,
    406: Verdict.REJECTED,
    407: Verdict.REJECTED,
    408: Verdict.TRANSIENT,
    409: Verdict.CONFLICT,
    500: Verdict.TRANSIENT,
    501: Verdict.REJECTED,
    502: Verdict.TRANSIENT,
    503: Verdict.TRANSIENT,
    504: Verdict.TRANSIENT,
}
OTHER_STATUSES = {
    **dict.fromkeys((200, 201, 202, 207, 299), Verdict.DELETED),
    **dict.fromkeys((101, 300, 301, 302, 303, 304, 307, 308, 399), Verdict.REJECTED),
    **dict.fromkeys((402, 410, 411, 412, 413, 414, 418, 422, 431, 451, 494, 499), Verdict.REJECTED),
    429: Verdict.THROTTLED,
    **dict.fromkeys((505, 507, 508, 511, 520, 599), Verdict.TRANSIENT),
}


@pytest.mark.parametrize(("status", "verdict"), [*VENDOR_PAGE.items(), *OTHER_STATUSES.items()])
@pytest.mark.parametrize("code", [None, "", "SDRS.9999", "APIGW.9999", "EVS.2024", "401", "SDRS", "."])
def test_a_status_alone_has_a_meaning(status: int, verdict: Verdict, code: str | None) -> None:
    """Every status of the vendor's page, 429, redirects and unknown ones; a code that nobody knows changes nothing."""
    assert classify(status, code) is verdict


_U, _F, _T, _R = Verdict.UNAUTHORIZED, Verdict.FORBIDDEN, Verdict.TRANSIENT, Verdict.REJECTED
GATEWAYS = ("APIGW", "APIG")
THROTTLES = ("APIGW.0308", "APIG.0308", "IAM.0012")
CODES = [
    *((400, f"SDRS.{number}", _U) for number in ("0001", "0002", "0003")),
    *((500, f"SDRS.{number}", _U) for number in ("0006", "0014", "0015", "0016")),
    *((400, f"SDRS.{number}", _F) for number in ("0004", "0005")),
    (500, "SDRS.0009", _F),
    *((500, f"SDRS.{number}", _T) for number in ("0007", "0008", "0010", "0011", "0012", "0013")),
    (400, "SDRS.0007", _T),
    *((400, f"SDRS.{number}", _R) for number in ("0201", "0207", "0221", "1015", "1017")),
    (500, "SDRS.0408", _T),
    (400, "SDRS.1013", Verdict.GONE),
    (400, "sdrs.1013", Verdict.GONE),
    (404, "SDRS.1013", Verdict.GONE),
    (500, "SDRS.1013", _T),
    (403, "SDRS.1013", _F),
    (400, "SDRS.1002", Verdict.CONFLICT),
    (409, "SDRS.1002", Verdict.CONFLICT),
    (500, "SDRS.1002", _T),
    *((401, f"{gateway}.{number}", _U) for gateway in GATEWAYS for number in ("0301", "0303", "0305", "0307", "0311")),
    (400, "APIGW.0301", _U),
    *((status, code, Verdict.THROTTLED) for status in (429, 400, 403, 500, 503) for code in THROTTLES),
    *((404, f"{gateway}.{number}", _R) for gateway in GATEWAYS for number in ("0101", "0103")),
    (500, "APIG.0103", _R),
    (403, "APIGW.0302", _F),
    (403, "APIGW.0801", _F),
    (405, "APIGW.0501", _R),
    (413, "APIGW.0201", _R),
    (502, "APIGW.0201", _T),
    (504, "APIG.0203", _T),
    (503, "APIGW.0613", _T),
    (401, "IAM.0001", _U),
    (403, "IAM.0003", _F),
    (204, "SDRS.0009", Verdict.DELETED),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "verdict"), CODES)
def test_a_code_overrides_the_status(status: int, code: str, verdict: Verdict) -> None:
    """The service reports missing groups, permissions and sign-in as 400 or 500; the gateway under its own statuses."""
    assert classify(status, code) is verdict


@given(st.integers(100, 999), st.none() | st.text() | st.from_regex(r"\A(SDRS|APIGW|APIG|IAM)\.[0-9]{4}\Z"))
def test_every_answer_has_a_verdict_of_an_answer(status: int, code: str | None) -> None:
    """No status and no code is without a meaning, and none means that no answer came."""
    verdict = classify(status, code)
    assert verdict not in (Verdict.UNREACHABLE, Verdict.SKIPPED, Verdict.UNSETTLED)
    assert (verdict is Verdict.DELETED) == (200 <= status < 300)


# ---- error bodies

SHAPES = [
    ({"error": {"code": "SDRS.1013", "message": "no such group"}}, ErrorBody("SDRS.1013", "no such group")),
    ({"badrequest": {"code": "SDRS.0207", "message": "bad id"}}, ErrorBody("SDRS.0207", "bad id")),
    ({"itemNotFound": {"message": "gone", "code": "SDRS.1013"}}, ErrorBody("SDRS.1013", "gone")),
    (
        {"error_code": "APIGW.0301", "error_msg": "wrong token", "request_id": "r1", "encoded_message": "x"},
        ErrorBody("APIGW.0301", "wrong token", "r1"),
    ),
    ({"errorCode": "DNS.1", "errorMsg": "no"}, ErrorBody("DNS.1", "no")),
    ({"code": "IAM.0012", "message": "slow down"}, ErrorBody("IAM.0012", "slow down")),
    ({"error": {"code": 401, "message": "sign in", "title": "Unauthorized"}}, ErrorBody("401", "sign in")),
    ({"error": {"message": "only text"}}, ErrorBody(None, "only text")),
    ({"error_code": "SDRS.0009"}, ErrorBody("SDRS.0009", "")),
    ({"message": "outside", "error": {"code": "SDRS.1013", "message": "inside"}}, ErrorBody("SDRS.1013", "inside")),
    ({"message": "outside", "details": {"reason": 1}}, ErrorBody(None, "outside")),
    ({"error": {"code": "", "error_code": None, "message": "no code"}}, ErrorBody(None, "no code")),
    ({"error": {"code": "not a code!", "message": "odd"}}, ErrorBody(None, "odd")),
    ({"a": {"b": {"code": "SDRS.1013"}}}, ErrorBody("SDRS.1013", "")),
    ({"error": "just text"}, ErrorBody(None, '{"error": "just text"}')),
    ({}, ErrorBody(None, "{}")),
    ([{"code": "SDRS.1013"}], ErrorBody(None, '[{"code": "SDRS.1013"}]')),
    (None, ErrorBody(None, "null")),
    ("text", ErrorBody(None, '"text"')),
    (17, ErrorBody(None, "17")),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), SHAPES)
def test_every_shape_of_an_error_body_is_read(body: object, expected: ErrorBody) -> None:
    """The five shapes in use, older keys around them, integer codes, and JSON that says nothing."""
    assert parse_error(json.dumps(body).encode()) == expected


BROKEN = [
    (b"", ErrorBody()),
    (b"  \r\n ", ErrorBody()),
    (b"upstream connect error\r\n or  disconnect", ErrorBody(None, "upstream connect error or disconnect")),
    (b"<html><head><title>502 Bad\n Gateway</title></head></html>", ErrorBody(None, "502 Bad Gateway")),
    (b"\n<!DOCTYPE html><TITLE lang=en>Caf&eacute; &lt;closed&gt;</TITLE>", ErrorBody(None, "Caf\u00e9 <closed>")),
    (b"<html><body>no title</body></html>", ErrorBody(None, "an HTML page")),
    (b"<title>cut o", ErrorBody(None, "an HTML page")),
    (b'{"error":{"code":"SDRS.1013","message":"The protec', ErrorBody("SDRS.1013", "The protec")),
    (b'{"error":{"code":"SDRS.10', ErrorBody("SDRS.10", '{"error":{"code":"SDRS.10')),
    (b'{"error_code" : "APIG.0308" , "error_msg" : "a \\"b\\" \\u00fc\\/', ErrorBody("APIG.0308", 'a "b" \u00fc/')),
    (b'{"errorCode":401,"errorMsg":"half an escape \\u00', ErrorBody("401", "half an escape \\u00")),
    (b'{"message":"two\\nlines"', ErrorBody(None, "two lines")),
    (b'\xef\xbb\xbf{"code":"SDRS.1013","message":"m"}', ErrorBody("SDRS.1013", "m")),
    (b'{"code":"SDRS.1013","message":"m"} trailing', ErrorBody("SDRS.1013", "m")),
    (b'{"code":' + b"1" * 5000 + b"}", ErrorBody(None, '{"code":' + "1" * 489 + "...")),
    (b"\xff\xfe\x00", ErrorBody(None, "")),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), BROKEN, ids=lambda value: ascii(value)[:40])
def test_a_body_that_is_no_json_tells_what_it_can(body: bytes, expected: ErrorBody) -> None:
    """Pages of proxies, plain text, nothing, and JSON that ends too soon."""
    found = parse_error(body)
    assert found.code == expected.code
    assert found.message.replace("\N{REPLACEMENT CHARACTER}", "") == expected.message


@pytest.mark.parametrize("body", [b"[" * 65_536, b'{"a":' * 13_000, b'{"a":' * 5000 + b"1" + b"}" * 5000])
def test_deep_nesting_is_text(body: bytes) -> None:
    """A body nested beyond what can be read is shown, not followed."""
    found = parse_error(body)
    assert found.code is None
    assert len(found.message) == 500


def test_a_page_of_nothing_but_openings_takes_no_time() -> None:
    """A title is looked for at the head of a page only: over 64 KiB of openings the search takes seconds."""
    assert parse_error(b"<title>" * 9000) == ErrorBody(None, "an HTML page")
    assert parse_error(b"<html>" + b" " * 5000 + b"<title>too late</title>") == ErrorBody(None, "an HTML page")


_PIECES = (
    *(
        b'"code"',
        b'"message":',
        b'"error_msg":"',
        b"{",
        b"}",
        b"[",
        b'"',
        b"\\",
        b"\\u00",
        b"<title>",
        b"\x1b",
        b"\xff",
    ),
    *(b"&#0;", b"\n"),
)
_KEYS = st.sampled_from(["code", "message", "error", "request_id", "x"])
HOSTILE = st.one_of(
    st.binary(max_size=2000),
    st.text(max_size=1000).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from(_PIECES), max_size=40).map(b"".join),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner),
    ).map(lambda data: json.dumps(data).encode()),
)  # fmt: skip


@given(HOSTILE)
@example(b'{"code": "X.1", "request_id": "\\u001b[31m\\n' + b"r" * 300 + b'"}')
@example(b'{"message": "\\ud800\\u202e\\u0007"}')
def test_hostile_bytes_are_read_without_harm(body: bytes) -> None:
    """Never an exception; what comes out is one printable line of bounded length each, which UTF-8 can encode."""
    found = parse_error(body)
    for text, longest in ((found.message, 500), (found.code or "", 64), (found.request_id or "", 100)):
        assert text.isprintable()
        assert len(text) <= longest
        text.encode()


@given(HOSTILE, st.text(), st.booleans())
@example(b"\xff\xfe<\x00\xd8\x00", "text/html", True)
@example(b"<title>" + b"a" * 600 + b"</title>", "", True)
@example(b'{"error": ' + b"[" * 9000, "", True)
def test_a_hostile_2xx_is_read_without_harm(body: bytes, content_type: str, is_whole: bool) -> None:
    """Never an exception, and what is said of it is one printable line too."""
    failure = failure_in(json_in(body))
    said = [web_page(content_type, body, is_whole=is_whole) or "", failure.message if failure else ""]
    for text in said:
        assert text.isprintable()
        assert len(text) <= 500
        text.encode()


@given(st.binary())
def test_what_begins_as_markup_is_a_page(body: bytes) -> None:
    """Whatever follows, whatever it calls itself; JSON and nothing are none, whatever they call themselves."""
    assert web_page("application/json", b" <" + body) is not None
    assert web_page("text/html", b"{" + body) is None
    assert web_page("text/html", b" \r\n") is None


@given(st.text())
def test_one_line_is_one_printable_line(text: str) -> None:
    """Line breaks become spaces, what cannot be seen is dropped, and 500 characters are the end."""
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= 500
    assert one_line(line) == " ".join(line.split())


def test_a_long_message_says_that_it_goes_on() -> None:
    """500 characters pass; of 501 the last ones become dots."""
    assert one_line("a" * 500) == "a" * 500
    assert one_line("a" * 501) == "a" * 497 + "..."


# ---- Retry-After

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("999999999", 999_999_999.0),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 13:01:30 +0100", 90.0),
        ("Sun, 01 Mar 2026 12:01:30 -0000", 90.0),
        ("Sun, 01 Mar 2026 12:01:30", 90.0),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 11:59:59 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("10, 20", None),
        ("1234567890", None),
        ("\N{ARABIC-INDIC DIGIT FIVE}", None),
        ("Sun, 99 Mar 2026 12:01:30 GMT", None),
        ("Sun, 01 Mar 2026 12:01:30 +9999", None),
        ("Sun, 01 Mar 99999999999 12:01:30 GMT", None),
        ("2026-03-01T12:01:30Z", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    """Seconds or a date; a past date is no wait, and rubbish is as good as no header."""
    assert parse_retry_after(value, NOW) == seconds


def test_a_date_counts_from_now() -> None:
    """Without a clock of the caller's it is the machine's."""
    seconds = parse_retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert seconds is not None
    assert 3000 < seconds <= 3600


DATE_WORDS = """
    Mon Sun , 00 01 31 99 Jan Mar Dec 2026 0001 9999 99999999999 12:00:00 25:99:99 GMT +0000 -2359 +9999 -0000 ( ) : - Z
"""


@given(st.text() | st.lists(st.sampled_from(DATE_WORDS.split()), max_size=8).map(" ".join))
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_any_header_is_read_or_ignored(value: str) -> None:
    """No text of a server raises, and no wait is negative or endless."""
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0.0 <= seconds < 1e12


# ---- whom a 429 holds

THRESHOLD = "The throttling threshold has been reached: policy {} over ratelimit,limit:{},time:{}"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (THRESHOLD.format("user", 200, "5 minute"), ("user", Rate(200, 300))),
        (THRESHOLD.format("ip", 5, "1 second"), ("endpoint", Rate(5))),
        (THRESHOLD.format("api", 2000, "1 minute"), ("endpoint", Rate(2000, 60))),
        (THRESHOLD.format("app", 10, "2 hour"), ("project", Rate(10, 7200))),
        (THRESHOLD.format("user", 1, "1 day"), ("user", Rate(1, 86_400))),
        ("policy USER over RateLimit, limit: 10, time: 10 Seconds", ("user", Rate(10, 10))),
        (THRESHOLD.format("user", 1, "0 second"), ("user", None)),
        (THRESHOLD.format("user", 0, "1 second"), ("user", None)),
        (THRESHOLD.format("nobody", 1, "1 second"), ("project", None)),
        (THRESHOLD.format("user", 1, "1 fortnight"), ("project", None)),
        (THRESHOLD.format("user", 1, "12345678 second"), ("project", None)),
        ("Too many requests", ("project", None)),
        ("", ("project", None)),
    ],
)
def test_a_429_names_its_scope_and_limit(message: str, expected: tuple[str, Rate | None]) -> None:
    """The gateway's text says whose limit was reached; one that cannot be read holds the project alone."""
    assert parse_throttle(message) == expected


@given(st.text())
def test_any_text_of_a_429_names_a_scope(message: str) -> None:
    """No text raises."""
    scope, told = parse_throttle(message)
    assert scope in ("project", "user", "endpoint")
    assert told is None or told.count >= 1
