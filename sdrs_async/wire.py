"""What is true of the SDRS API: the paths of the calls, the ids they may carry, and what every answer means. No I/O.

Sources: vendor pages sdrs_05_0901..0904 and 0402 (the calls), sdrs_05_1101 (SDRS codes), the gateway's error table
(APIGW/APIG codes).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any, Literal, TypeGuard
from unicodedata import normalize
from urllib.parse import quote, urlsplit

from sdrs_async.errors import ConfigError
from sdrs_async.models import Call, Listing, ProjectLevel, Rate, Target, Verdict

__all__ = [
    "PAGE",
    "REDIRECT",
    "UNSEEN",
    "WEB_PAGE",
    "ErrorBody",
    "check_id",
    "check_target",
    "classify",
    "failure_in",
    "failures_page",
    "groups_page",
    "is_service_code",
    "json_in",
    "one_line",
    "parse_date",
    "parse_error",
    "parse_retry_after",
    "parse_throttle",
    "path_of",
    "projects_page",
    "redirect",
    "visible",
    "web_page",
]

Scope = Literal["project", "user", "endpoint"]

PAGE = 999
"""Items of a page. The manual allows 1000, the text of its error SDRS.0221 only less than that."""

_RESERVED = frozenset({"batch", "failure-jobs"})
# Nearly every id: it needs neither a closer look nor an encoding.
_PLAIN_ID = re.compile(r"(?!(?i:batch|failure-jobs)$)[A-Za-z0-9_-]{1,64}", re.ASCII)
_FORBIDDEN = re.compile(r"[/?#%\\; ]|\.\.")
UNSEEN = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
"""Letters that leave no mark and that readers may drop, as far as `isprintable` lets them pass (Unicode's property
Default_Ignorable_Code_Point)."""
_MAX_ID = 256
_MAX_MESSAGE = 500
_MAX_TITLE = 400


def check_id(name: str, value: object) -> str:
    """The id unchanged, or `ConfigError` when the path would turn into another call with it.

    The group-level delete has the project-wide one as its neighbour: an empty group id, `batch` or a path separator
    leads from the first to the second (the service's route collision). That holds too for what only turns into one of
    them in a server that folds case and compatible letters (Unicode's NFKC), or drops letters that are not seen.
    """
    if _is_plain(value):
        return value
    wrong = _what_is_wrong(value)
    if isinstance(value, str) and wrong is None:
        return value
    shown = ascii(value) if len(ascii(value)) <= 80 else f"{ascii(value)[:77]}..."
    raise ConfigError(f"{name} {shown} is refused: {wrong}")


def _what_is_wrong(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return "it is empty" if value == "" else "an id is text"
    if len(value) > _MAX_ID:
        return f"it is longer than {_MAX_ID} characters ({len(value):,})"
    if not value.isprintable() or UNSEEN.search(value):
        return "it holds a control or other invisible character"
    misleading = (wrong for reading in _readings(value) if (wrong := _leads_away(reading)))
    return next(misleading, None)


def _readings(value: str) -> Iterator[str]:
    """The value as servers may read it that fold case and compatible letters, in either order."""
    for text in (value, value.casefold(), value.upper()):
        yield normalize("NFKC", text).casefold()


def _leads_away(reading: str) -> str | None:
    if reading in _RESERVED:
        return f"this is a reserved word ({reading}), which would turn the path into another call"
    if reading == ".":
        return "a dot alone leads to another path"
    found = _FORBIDDEN.search(reading)
    return None if found is None else f"an id holds no {'space' if found[0] == ' ' else found[0]}"


def _is_plain(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _PLAIN_ID.fullmatch(value) is not None


def check_target(target: Target | ProjectLevel) -> Target | ProjectLevel:
    """The target unchanged, or `ConfigError` naming the id that is refused."""
    check_id("project_id", target.project_id)
    if not isinstance(target, ProjectLevel):
        check_id("server_group_id", target.server_group_id)
    return target


def path_of(call: Call) -> str:
    """The percent-encoded path of a call. Raises `ConfigError` on a refused id.

    DeleteServerGroupFailureJobs (sdrs_05_0904) for a target, DeleteAllServerGroupFailureJobs (sdrs_05_0903) for a
    project's own level.
    """
    if isinstance(call, Listing):
        return call.path
    project = _segment("project_id", call.project_id)
    if isinstance(call, ProjectLevel):
        return f"/v1/{project}/task-center/failure-jobs/batch"
    return f"/v1/{project}/task-center/{_segment('server_group_id', call.server_group_id)}/failure-jobs/batch"


def groups_page(project_id: str, offset: int = 0, limit: int = PAGE) -> Listing:
    """One page of a project's protection groups (sdrs_05_0402)."""
    path = f"/v1/{_segment('project_id', project_id)}/server-groups"
    return Listing(path, f"limit={limit}&offset={offset}", project_id)


def failures_page(project_id: str, server_group_id: str | None, offset: int = 0, limit: int = PAGE) -> Listing:
    """One page of failed tasks (sdrs_05_0901): those inside a group, or without one those of the project's level."""
    path = f"/v1/{_segment('project_id', project_id)}/task-center/failure-jobs"
    group = "" if server_group_id is None else f"&server_group_id={_segment('server_group_id', server_group_id)}"
    return Listing(path, f"limit={limit}&offset={offset}{group}", project_id)


def projects_page(query: str = "") -> Listing:
    """The projects that the account may use, at IAM: a call that needs no special permission."""
    return Listing("/v3/auth/projects", query, at_iam=True)


def _segment(name: str, value: str) -> str:
    return value if _is_plain(value) else quote(check_id(name, value), safe="")


# ---- what an answer means -------------------------------------------------------------------------------------------

_STATUS: dict[int, Verdict] = {
    400: Verdict.REJECTED,
    401: Verdict.UNAUTHORIZED,
    403: Verdict.FORBIDDEN,
    404: Verdict.GONE,
    405: Verdict.REJECTED,
    406: Verdict.REJECTED,
    407: Verdict.REJECTED,
    408: Verdict.TRANSIENT,
    409: Verdict.CONFLICT,
    429: Verdict.THROTTLED,
    500: Verdict.TRANSIENT,
    501: Verdict.REJECTED,
    502: Verdict.TRANSIENT,
    503: Verdict.TRANSIENT,
    504: Verdict.TRANSIENT,
}

# The service reports missing groups, permissions and sign-in as 400 or 500: its code decides, not the status.
_SDRS: dict[str, Verdict] = {
    **dict.fromkeys(
        ("SDRS.0001", "SDRS.0002", "SDRS.0003", "SDRS.0006", "SDRS.0014", "SDRS.0015", "SDRS.0016"),
        Verdict.UNAUTHORIZED,
    ),
    **dict.fromkeys(("SDRS.0004", "SDRS.0005", "SDRS.0009"), Verdict.FORBIDDEN),
    **dict.fromkeys(("SDRS.0007", "SDRS.0008", "SDRS.0010", "SDRS.0011", "SDRS.0012", "SDRS.0013"), Verdict.TRANSIENT),
    "IAM.0012": Verdict.THROTTLED,
}
_BAD_REQUEST: dict[str, Verdict] = {"SDRS.1013": Verdict.GONE, "SDRS.1002": Verdict.CONFLICT}

# Huawei's gateway writes APIGW. or APIG., OTC's APIG.: only the number counts. 0101 and 0103 come as 404 when host or
# path are wrong; read as "gone" they would report a clean fleet that nobody has cleaned.
_GATEWAY: dict[str, Verdict] = {
    **dict.fromkeys(("0301", "0303", "0305", "0307", "0311"), Verdict.UNAUTHORIZED),
    **dict.fromkeys(("0101", "0103"), Verdict.REJECTED),
    "0308": Verdict.THROTTLED,
}


def classify(status: int, code: str | None) -> Verdict:
    """What an answer means, from its status and error code. Total: every pair has a verdict."""
    if 200 <= status < 300:
        return Verdict.DELETED
    by_code = _by_code(status, code.upper()) if code else None
    return by_code or _STATUS.get(status) or (Verdict.TRANSIENT if status >= 500 else Verdict.REJECTED)


def _by_code(status: int, code: str) -> Verdict | None:
    prefix, _, number = code.partition(".")
    if prefix in ("APIGW", "APIG"):
        return _GATEWAY.get(number)
    return _SDRS.get(code) or (_BAD_REQUEST.get(code) if status == 400 else None)


# ---- reading what came back -----------------------------------------------------------------------------------------


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
    """The code and message of an error body in any of the five shapes in use; HTML, text, cut-off and empty ones too.

    Never raises. A message is one printable line of at most 500 characters.
    """
    text = _text(body)
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError):
        return _parse_broken(text)
    return _parse_levels(data, text)


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
    """What the JSON of a 2xx says went wrong: some gateways answer so. `None` as a rule.

    Only what cannot be meant otherwise: a code like `APIG.0301`, or like 401, or an `error` of its own.
    """
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
    if not text.startswith("<") and (
        text.startswith(("{", "[")) or not _PAGE_TYPE.match(content_type) or (is_whole and not text)
    ):
        return None
    title = _title(text)
    shown = title if len(title) <= _MAX_TITLE else f"{title[: _MAX_TITLE - 3]}..."
    named = f" ('{shown}')" if shown else ""
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


def one_line(text: str) -> str:
    """At most 500 printable characters of it, whitespace folded: a message ends up on terminals and in lines."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return line if len(line) <= _MAX_MESSAGE else f"{line[: _MAX_MESSAGE - 3]}..."


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
