"""What the server says: answers and the shapes of their bodies (SDRS, the gateway before it, IAM)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal, NamedTuple


class Answer(NamedTuple):
    """One answer. `delay`: extra seconds before it; `length`: the Content-Length it claims when that is a lie.

    `last`: its connection is closed after it; `lost`: it never gets to the client, which waits for ever (`hang`) or
    sees its connection reset (`reset`).
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    delay: float = 0.0
    length: int | None = None
    last: bool = False
    lost: Literal["", "hang", "reset"] = ""


def document(data: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(data).encode(), headers or {})


def sdrs_error(code: str, message: str, status: int = 400) -> Answer:
    """The service's own shape; it reports most errors as 400."""
    return document({"error": {"code": code, "message": message}}, status)


def gateway_error(status: int, number: str, message: str, request_id: str) -> Answer:
    """The shape of the gateway in front of the service; `number` as in `0301`."""
    return document({"error_code": f"APIGW.{number}", "error_msg": message, "request_id": request_id}, status)


def iam_error(status: int, message: str) -> Answer:
    """IAM's shape, whose code is an integer."""
    return document({"error": {"code": status, "message": message, "title": title_of(status)}}, status)


def throttled(policy: str, request_id: str) -> Answer:
    """The gateway's 429; `policy` as in `app over ratelimit,limit:10,time:1 second`, empty: it does not tell."""
    named = f": policy {policy}" if policy else ""
    return gateway_error(429, "0308", f"The throttling threshold has been reached{named}", request_id)


def iam_throttled(threshold: str) -> Answer:
    """IAM's 429, whose code is a name; `threshold` as in `10 times per 1 seconds`."""
    message = f"The throttling threshold has been reached. Threshold: {threshold}"
    return document({"error": {"code": "IAM.0012", "message": message, "title": title_of(429)}}, 429)


def title_of(status: int) -> str:
    """The reason phrase of a status, or its number when it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return str(status)


_SDRS_BY_STATUS = {
    400: ("SDRS.0201", "A parameter is not valid."),
    404: ("SDRS.1013", "The protection group does not exist."),
    409: ("SDRS.1002", "The operation is not allowed in the present state of the protection group."),
    500: ("SDRS.0013", "Internal error."),
}
_GATEWAY_BY_STATUS = {
    401: ("0301", "Incorrect IAM authentication information: token expired"),
    403: ("0302", "The IAM user is not allowed to access the API"),
    502: ("0202", "Backend unavailable"),
    503: ("0613", "The IAM service is currently unavailable"),
    504: ("0203", "Backend timeout"),
}


def status_error(status: int, request_id: str) -> Answer:
    """The body that fits an error status; empty below 400."""
    if status < 400:
        return Answer(status)
    if status in _SDRS_BY_STATUS:
        return sdrs_error(*_SDRS_BY_STATUS[status], status)
    # 0201 is the gateway's number for what only the status tells apart.
    number, message = _GATEWAY_BY_STATUS.get(status, ("0201", title_of(status)))
    return gateway_error(status, number, message, request_id)
