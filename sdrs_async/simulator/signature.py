"""Checking `SDK-HMAC-SHA256` signatures, written from the vendor's signing guide.

There are two forms: `Access=`, and the older `Credential=` whose key is derived from a scope of date, region and
service. Nothing here is shared with the code that signs: an error in both would go unnoticed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote, unquote, unquote_plus

ALGORITHM = "SDK-HMAC-SHA256"
_HEADER = re.compile(
    rf"{ALGORITHM} (?:Access=(?P<key>[^,/\s]+)|Credential=(?P<old_key>[^,/\s]+)/(?P<scope>[^,\s]+)), "
    r"SignedHeaders=(?P<names>[^,\s]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_SCOPE = re.compile(r"(?P<day>\d{8})/[^/]*/[^/]*/sdk_request", re.ASCII)
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


class Claim(NamedTuple):
    """What an Authorization header says. `scope`: that of the `Credential=` form, `None` in the other."""

    access_key: str
    signed_headers: list[str]
    signature: str
    scope: str | None = None


def claim_of(authorization: str) -> Claim | None:
    """Read the header; `None` when it has neither form."""
    found = _HEADER.fullmatch(authorization)
    if found is None:
        return None
    return Claim(found["key"] or found["old_key"], found["names"].split(";"), found["signature"], found["scope"])


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


def sign(request: SignedRequest, signed_headers: list[str], secret_key: str, scope: str | None = None) -> str:
    """The signature that such a request must carry: 64 lowercase hex digits. Raises `KeyError` as above."""
    canonical = hashlib.sha256(canonical_request(request, signed_headers).encode()).hexdigest()
    date = request.headers["x-sdk-date"]
    if scope is None:
        return _hmac(secret_key.encode(), f"{ALGORITHM}\n{date}\n{canonical}").hex()
    key = f"SDK{secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return _hmac(key, f"{ALGORITHM}\n{date}\n{scope}\n{canonical}").hex()


def refusal(request: SignedRequest, claim: Claim, secret_key: str, now: datetime) -> str | None:
    """Why a signed request is refused, in the words of the gateway; `None` when its signature is right."""
    names = claim.signed_headers
    absent = (_NEEDED - set(names)) | {name for name in names if name not in request.headers}
    if absent:
        return f"verify ak sk signature fail, not signed: {';'.join(sorted(absent))}"
    date = request.headers["x-sdk-date"]
    if claim.scope is not None and not _is_of_day(claim.scope, date[:8]):
        return "verify ak sk signature fail, the scope of the credential is wrong"
    if not hmac.compare_digest(sign(request, names, secret_key, claim.scope), claim.signature):
        echoed = canonical_request(request, names).replace("\n", "|")
        return f"verify ak sk signature fail, canonicalRequest:{echoed}"
    return _expired(date, now)


def _is_of_day(scope: str, day: str) -> bool:
    """Region and service may be anything, also empty: that is how the form is used in production."""
    found = _SCOPE.fullmatch(scope)
    return found is not None and found["day"] == day


def _expired(date: str, now: datetime) -> str | None:
    try:
        signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return f"verify ak sk signature fail, x-sdk-date {date!r} is not a date"
    if abs(now - signed) <= _SKEW:
        return None
    return f"signature expired, the time in the request is {date}, the time here is {now:%Y%m%dT%H%M%SZ}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _canonical_query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    decoded = sorted((unquote_plus(key), unquote_plus(value)) for key, _, value in pairs)
    return "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in decoded)


def _payload_hash(request: SignedRequest) -> str:
    if request.body and request.headers.get("x-sdk-content-sha256") == _UNSIGNED:
        return _UNSIGNED
    return hashlib.sha256(request.body).hexdigest()
