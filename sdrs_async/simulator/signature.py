"""Checking `SDK-HMAC-SHA256` signatures in their `Access=` form, written from the vendor's signing guide.

Nothing here is shared with the code that signs: an error in both would go unnoticed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote, unquote, unquote_plus

__all__ = ["ALGORITHM", "SignedRequest", "canonical_request", "refusal", "sign"]

ALGORITHM = "SDK-HMAC-SHA256"
_HEADER = re.compile(
    rf"{ALGORITHM} Access=(?P<key>[^,\s]+), SignedHeaders=(?P<names>[^,\s]+), Signature=(?P<signature>[0-9a-f]{{64}})"
)
_NEEDED = {"host", "x-sdk-date"}
_UNSIGNED = "UNSIGNED-PAYLOAD"
# The guide's limit for the difference of the two clocks.
_SKEW = timedelta(minutes=15)


class SignedRequest(NamedTuple):
    """What was received, as it was received: path and query undecoded, headers by any case, the whole body."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


def canonical_request(request: SignedRequest, signed_headers: list[str]) -> str:
    """The text both sides build from a request. `signed_headers`: lower-case names in their order; each must be there.

    Raises `KeyError` naming a signed header that is missing.
    """
    path = "/".join(quote(segment, safe="~") for segment in unquote(request.path).split("/"))
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in signed_headers)
    parts = (
        request.method,
        path if path.endswith("/") else f"{path}/",
        _canonical_query(request.query),
        headers,
        ";".join(signed_headers),
        _payload_hash(request),
    )
    return "\n".join(parts)


def sign(request: SignedRequest, signed_headers: list[str], secret_key: str) -> str:
    """The signature that such a request must carry: 64 lowercase hex digits. Raises `KeyError` as above."""
    canonical = hashlib.sha256(canonical_request(request, signed_headers).encode()).hexdigest()
    text = f"{ALGORITHM}\n{request.headers['x-sdk-date']}\n{canonical}"
    return hmac.new(secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()


def refusal(request: SignedRequest, access_key: str, secret_key: str, now: datetime | None = None) -> str | None:
    """Why a signed request is refused, in the words of the gateway; `None` when its signature is right."""
    found = _HEADER.fullmatch(request.headers["authorization"])
    if found is None:
        return "the Authorization header has a wrong form"
    if found["key"] != access_key:
        return "verify ak sk signature fail, AK not found"
    names = found["names"].split(";")
    absent = (_NEEDED - set(names)) | {name for name in names if name not in request.headers}
    if absent:
        return f"verify ak sk signature fail, not signed: {';'.join(sorted(absent))}"
    if not hmac.compare_digest(sign(request, names, secret_key), found["signature"]):
        echoed = canonical_request(request, names).replace("\n", "|")
        return f"verify ak sk signature fail, canonicalRequest:{echoed}"
    return _expired(request.headers["x-sdk-date"], now or datetime.now(UTC))


def _expired(date: str, now: datetime) -> str | None:
    try:
        signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return f"verify ak sk signature fail, x-sdk-date {date!r} is not a date"
    if abs(now - signed) <= _SKEW:
        return None
    return f"signature expired, the time in the request is {date}, the time here is {now:%Y%m%dT%H%M%SZ}"


def _canonical_query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    decoded = sorted((unquote_plus(key), unquote_plus(value)) for key, _, value in pairs)
    return "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in decoded)


def _payload_hash(request: SignedRequest) -> str:
    if request.body and request.headers.get("x-sdk-content-sha256") == _UNSIGNED:
        return _UNSIGNED
    return hashlib.sha256(request.body).hexdigest()
