"""Reading what came back: error bodies in every shape in use, pages that are none, throttling texts. Pure, no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any, Literal
from urllib.parse import urlsplit

from sdrs_async.limits import Rate

Scope = Literal["project", "user", "endpoint"]


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error body says; every part may be missing."""

    code: str | None = None
    message: str = ""
    request_id: str | None = None


_CODE_KEYS = ("error_code", "errorCode", "code")
_TEXT_KEYS = ("error_msg", "errorMsg", "message")
_BROKEN_CODE = re.compile(r'"(?:error_code|errorCode|code)"\s*:\s*"?([A-Za-z0-9_.-]+)')
_BROKEN_TEXT = re.compile(r'"(?:error_msg|errorMsg|message)"\s*:\s*"((?:[^"\\]|\\.)*)')
# Neither part runs over the next tag: a page of nothing but openings is read once, not once for each.
_TITLE = re.compile(r"<title[^<>]*>([^<]*)</title>", re.IGNORECASE)
_HEAD = 4096  # characters of a page searched for its title
_BLANK = " \t\r\n\f\v\0"
_MARK = "\ufeff"  # of the encoding, at the beginning
WEB_PAGE = "a web page instead of an answer"
REDIRECT = "a redirect"
"""How the message of one begins."""
_PAGE_TYPE = re.compile(r"\s*(?:text/html|application/xhtml\+xml)\b", re.IGNORECASE)
_SERVICE_CODE = re.compile(r"[A-Za-z]{2,16}\.\d{3,6}")
_HTTP_ERROR = re.compile(r"[45]\d\d", re.ASCII)


def parse_error(body: bytes) -> ErrorBody:
    """Code and message, a printable line, of an error body in any shape; HTML, cut-off and empty too. Never raises."""
    text, data = _text(body), json_in(body)
    return _parse_broken(text) if data is None else _parse_levels(data, text)


def json_in(body: bytes) -> object:
    """The value of a body in JSON; `None` for anything else. Never raises."""
    try:
        return json.loads(_text(body))
    except (ValueError, RecursionError):
        return None


def is_service_code(code: str | None) -> bool:
    """Whether an error code has the form of this vendor's, like `SDRS.1013`: a host of others has none such."""
    return code is not None and _SERVICE_CODE.fullmatch(code) is not None


def failure_in(data: object) -> ErrorBody | None:
    """What the JSON of a 2xx says went wrong, by a code like `APIG.0301` or 401, or by `error`; `None` as a rule."""
    if not isinstance(data, dict):
        return None
    error = data.get("error")
    found = _parse_levels(data, error if isinstance(error, str) else "")
    return found if error or is_service_code(found.code) or _HTTP_ERROR.fullmatch(found.code or "") else None


def web_page(content_type: str, body: bytes, *, is_whole: bool = True) -> str | None:
    """What to say of a page made for a browser that came in place of an answer; `None` where it is none.

    It is one by what it begins with or by its type, unless it is empty; of one that was cut off before it began
    (`is_whole` false) the type decides. JSON is no page, whatever it calls itself.
    """
    text = _text(body.lstrip(_BLANK.encode())[: 4 * _HEAD])
    is_typed = _PAGE_TYPE.match(content_type) and not text.startswith(("{", "[")) and (text or not is_whole)
    if not text.startswith("<") and not is_typed:
        return None
    title = one_line(_title(text), most=400)
    named = f" ('{title}')" if title else ""
    return f"{WEB_PAGE}{named}: is this the endpoint?"


def redirect(location: str) -> str:
    """What to say of one, without what follows the host: that may be what the other side was sent."""
    try:
        parts = urlsplit(location)
        host = f" to {parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme and parts.netloc else ""
    except ValueError:
        host = ""
    return f"{one_line(f'{REDIRECT}{host}')}, which is not followed: is this the endpoint?"


def _text(body: bytes) -> str:
    """A body as text, without a mark of its encoding and blanks around it."""
    encoding = "utf-16" if body.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    return body.decode(encoding, "replace").strip(_MARK + _BLANK)


def _parse_levels(data: object, text: str) -> ErrorBody:
    levels = [level for level in _levels(data) if _first(level, _CODE_KEYS + _TEXT_KEYS)]
    if not levels:
        return ErrorBody(message=one_line(text))
    # The code decides what happens next, so the level that has one wins over one with a text alone.
    level = next((level for level in levels if _first(level, _CODE_KEYS)), levels[0])
    code, message, request_id = (_first(level, keys) for keys in (_CODE_KEYS, _TEXT_KEYS, ("request_id",)))
    return ErrorBody(_clean_code(code), one_line(message or ""), one_line(request_id or "")[:100] or None)


def _levels(data: object, depth: int = 3) -> Iterator[dict[str, Any]]:
    """The dict itself, then those inside: older bodies wrap the same fields in a key that varies."""
    if isinstance(data, dict) and depth:
        yield data
        for value in data.values():
            yield from _levels(value, depth - 1)


def _first(level: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    found = (level.get(key) for key in keys)
    return next((str(value) for value in found if isinstance(value, (str, int)) and value != ""), None)


def _parse_broken(text: str) -> ErrorBody:
    if text.startswith("<"):
        return ErrorBody(message=_title(text) or "an HTML page")
    code, message = _BROKEN_CODE.search(text), _BROKEN_TEXT.search(text)
    return ErrorBody(_clean_code(code[1]) if code else None, one_line(_unescaped(message[1]) if message else text))


def _title(page: str) -> str:
    title = _TITLE.search(page[:_HEAD])
    return one_line(unescape(title[1])) if title else ""


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:  # cut off inside an escape
        return text


def _clean_code(code: str | None) -> str | None:
    return code if code and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code) else None


def one_line(text: str, most: int = 500) -> str:
    """At most so many printable characters of it, whitespace folded: a message ends up on terminals and in lines."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def visible(text: str) -> str:
    """The text itself; in quotes and with escapes where it holds what is not seen, or cannot be written as UTF-8."""
    return text if text.isprintable() else ascii(text)


def parse_date(value: str | None) -> datetime | None:
    """The time of a `Date` header; `None` when absent or unreadable."""
    try:
        date = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds a `Retry-After` header asks for, from its seconds or date form; `None` when absent or unreadable."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d*)?\s*", value, re.ASCII):
        return float(value)
    date = parse_date(value)
    return None if date is None else max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


_POLICY = re.compile(
    r"policy\s+(?P<policy>user|ip|api|app)\s+over\s+ratelimit,\s*limit:\s*(?P<limit>\d{1,12}),\s*time:\s*"
    r"(?P<n>\d{1,6})\s*(?P<unit>second|minute|hour|day)",
    re.IGNORECASE,
)
_UNIT = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_SCOPES: dict[str, Scope] = {"user": "user", "ip": "endpoint", "api": "endpoint", "app": "project"}


def parse_throttle(message: str) -> tuple[Scope, Rate | None]:
    """Whom a 429 holds and the limit it is over, from the gateway's text; unreadable: the project, and no limit."""
    match = _POLICY.search(message)
    if match is None:
        return "project", None
    scope, count, units = _SCOPES[match["policy"].lower()], int(match["limit"]), float(match["n"])
    return scope, Rate(count, units * _UNIT[match["unit"].lower()]) if count and units else None
