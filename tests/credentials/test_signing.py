"""The signature: the vendor's vectors, and its own signer beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer as VendorSigner
from hypothesis import example, given
from hypothesis import strategies as st

from sdrs_async.credentials.signing import EMPTY_HASH, Signer, canonical_path, canonical_query

AK, SK = "FAKEAK0123456789ABCD", "FakeSecretKey0123456789abcdefFakeSecret0"
P, G = "0123456789abcdef0123456789abcdef", "decf224d-87fe-403a-8721-037a1a45c287"
J = "ff808082686f229a0168707beaab014e"
BASE = {"host": "sdrs.eu-de.otc.t-systems.com", "x-sdk-date": "20240102T030405Z"}
BODY = '{"auth":{"identity":{"methods":["token"],"token":{"duration_seconds":900}}}}'
GROUP = f"/v1/{P}/task-center/{G}/failure-jobs/batch"
LISTING = f"/v1/{P}/task-center/failure-jobs", f"server_group_id={G}&limit=1000&offset=0&failure_status=createFail"
NAMED = urlencode({"name": "a b+c/ü~*", "limit": 50, "availability_zone": "eu-de-01"})
JSON_TYPE = {"content-type": "application/json"}
IAM = {"host": "iam.eu-de.otc.t-systems.com", "content-type": "application/json;charset=utf8"}
TOKEN = {"x-security-token": "fake-security-token-value"}
PROJECT = {"x-project-id": P}

# Output of the vendor's signer: method, path, query, further headers, body, signature.
VECTORS: dict[str, tuple[str, str, str, dict[str, str], str, str]] = {
    "V1": ("DELETE", GROUP, "", {}, "", "0899cb596dbffacab32c8efc2153ff59130c837c2fae7f34a9dd14fdd945b6a5"),
    "V2": (
        *("DELETE", GROUP, "", {**JSON_TYPE, **PROJECT}, ""),
        "5fffca62f295f4ef3c903f3003588a9b9528235a2ba61ae83c64382aac82eee3",
    ),
    "V3": ("GET", *LISTING, {}, "", "6c7333fafe846c2d5ccfbb67a2232267c730b358ea95d6c40cb9be2a16076313"),
    "V4": (
        *("GET", f"/v1/{P}/server-groups", NAMED, PROJECT, ""),
        "27ee368d89de5d9b6cc084aafac0d856d28f18d122108a1749d3b4cac9437fd4",
    ),
    "V5": (
        *("DELETE", f"/v1/{P}/task-center/failure-jobs/{J}", "", {**PROJECT, **TOKEN}, ""),
        "0b99e4237b6565adc2d17a508b0cf37901d2c6ea42dd623965e2bf9dc7d14da5",
    ),
    "V6": (
        *("POST", "/v3.0/OS-CREDENTIAL/securitytokens", "", IAM, BODY),
        "09053eb95cc7ac5a67b8e12272c5ef9cd85c7e87646c102bfcad8e8bfa8ef5be",
    ),
    "V7": (
        *("GET", f"/v1/{P}/server-groups/a%20b", "", {}, ""),
        "36d38eeb85a9d96889db8154c17bee14087f1d46415ec44a1aa736a245391243",
    ),
    "V8": (
        *("GET", f"/v1/{P}/server-groups", "b=&a=z&a=y&A=1", {}, ""),
        "e6597a6152f09cadbf33d0225eb424d5fc98402987bd0c8d2a686a2df9da428a",
    ),
}
# The older form, output of the first Open Telekom Cloud client's signer: vector, region and service, scope, signature.
SCOPED = {
    "O1": (
        *("V1", ("", ""), "20240102///sdk_request"),
        "dac9bc0c884f97a742f2620d2441238299f8280812ae19a207a512d3667842f5",
    ),
    "O2": (
        *("V1", ("eu-de", "sdrs"), "20240102/eu-de/sdrs/sdk_request"),
        "4ac925335e299b65979813a20ad8a8334ef4d1ba96cd7104f953a3d0a882e7e6",
    ),
    "O3": (
        *("V3", ("", ""), "20240102///sdk_request"),
        "9d5018ff4e0397be2c5894443961cab2a829fa3c8e4c7d38522b3fcb1cdfc553",
    ),
}


def _sign(signer: Signer, name: str, base: Mapping[str, str] = BASE) -> str:
    method, path, query, headers, body, _ = VECTORS[name]
    return signer.authorization(method, path, query, {**base, **headers}, sha256(body.encode()).hexdigest())


@pytest.mark.parametrize("name", VECTORS)
def test_a_request_is_signed_as_the_vendor_signs_it(name: str) -> None:
    """Every vector of the `Access=` form, the whole header."""
    *_, headers, _, signature = VECTORS[name]
    names = ";".join(sorted({**BASE, **headers}))
    expected = f"SDK-HMAC-SHA256 Access={AK}, SignedHeaders={names}, Signature={signature}"
    assert _sign(Signer(AK, SK), name) == expected


@pytest.mark.parametrize("name", SCOPED)
def test_the_older_form_names_its_scope(name: str) -> None:
    """Every vector of the `Credential=` form, the whole header."""
    vector, region_and_service, scope, signature = SCOPED[name]
    expected = f"SDK-HMAC-SHA256 Credential={AK}/{scope}, SignedHeaders=host;x-sdk-date, Signature={signature}"
    assert _sign(Signer(AK, SK, region_and_service), vector) == expected


def test_the_older_form_has_a_key_for_each_day() -> None:
    """The key derived for one day signs nothing of the next, whatever was signed in between."""
    signer, next_day = Signer(AK, SK, ("", "")), {**BASE, "x-sdk-date": "20240103T000000Z"}
    first, second = _sign(signer, "V1"), _sign(signer, "V1", next_day)
    assert "/20240103///sdk_request," in second
    assert second == _sign(signer, "V1", next_day) == _sign(Signer(AK, SK, ("", "")), "V1", next_day)
    assert first == _sign(signer, "V1")


def test_the_order_of_headers_does_not_matter() -> None:
    """Headers are signed by name, however they come."""
    signer = Signer(AK, SK)
    headers = {**TOKEN, **BASE, **PROJECT}
    backwards = dict(reversed(headers.items()))
    assert signer.authorization("GET", "/", "", headers) == signer.authorization("GET", "/", "", backwards)


def test_a_signer_shows_no_secret() -> None:
    """Neither its repr nor any of its attributes holds the secret key."""
    signer = Signer(AK, SK)
    _sign(signer, "V1")
    held = [getattr(signer, name) for name in Signer.__slots__]
    assert SK not in f"{signer} {signer!r} {held}"
    assert repr(signer) == "Signer(***)"


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ("", "/"),
        ("/", "/"),
        ("/v1/a", "/v1/a/"),
        ("/v1/a/", "/v1/a/"),
        ("/a%20b", "/a%20b/"),
        ("/a%2fb", "/a/b/"),
        ("/%7E%C3%BC%2B", "/~%C3%BC%2B/"),
        ("/a+b:c@d", "/a%2Bb%3Ac%40d/"),
        ("/ü", "/%C3%BC/"),
    ],
)
def test_a_path_is_signed_decoded_and_encoded_anew(sent: str, signed: str) -> None:
    """However a path is spelled, both sides come to the same text, with a slash at its end."""
    assert canonical_path(sent) == signed


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ("", ""),
        ("limit=1&offset=0", "limit=1&offset=0"),
        ("offset=0&limit=1", "limit=1&offset=0"),
        ("b=&a=z&a=y&A=1", "A=1&a=y&a=z&b="),
        ("flag", "flag="),
        ("name=a+b%2Bc%20d", "name=a%20b%2Bc%20d"),
        ("%C3%A9=1&~=2&z=3", "z=3&~=2&%C3%A9=1"),
    ],
)
def test_a_query_is_signed_in_order(sent: str, signed: str) -> None:
    """Sorted by what is decoded, and encoded anew."""
    assert canonical_query(sent) == signed


# ---- the vendor's signer, side by side ------------------------------------------------------------------------------

# Only text that UTF-8 can hold; and no control characters, which no client sends.
TEXT = st.text(st.characters(codec="utf-8", categories=["L", "M", "N", "P", "S", "Zs"]), max_size=12)
# Half of what the quoting treats in its own way.
SEGMENT = st.one_of(st.text("abXY019-_.~+ %/:@&=*ü€", max_size=10), TEXT)
NAME = st.from_regex(r"x-[a-z0-9]{1,6}(-[a-z0-9]{1,6})?", fullmatch=True)
# The vendor's signer trims its values; ours gets them trimmed.
VALUE = TEXT.map(str.strip)
# The vendor's signer leaves out headers with an underscore in their names, and does not hash a body whose type is not
# JSON or BSON: our client sends neither.
HEADERS = st.dictionaries(NAME, VALUE, max_size=4)


def _vendor_authorization(
    method: str, path: str, query: list[tuple[str, Any]], headers: Mapping[str, str], body: str = ""
) -> str:
    request = SdkRequest(
        method=method, schema="https", host=headers["host"], resource_path=path, query_params=query,
        header_params=dict(headers), body=body,
    )  # fmt: skip
    return str(VendorSigner(BasicCredentials(AK, SK)).sign(request).header_params["Authorization"])


@given(
    call=st.tuples(st.sampled_from(["GET", "DELETE", "POST"]), st.lists(SEGMENT, max_size=5)),
    query=st.lists(st.tuples(SEGMENT.filter(bool), SEGMENT), max_size=5),
    headers=HEADERS,
    body=TEXT,
    plus=st.booleans(),
)
def test_any_request_is_signed_as_the_vendor_signs_it(
    call: tuple[str, list[str]], query: list[tuple[str, str]], headers: dict[str, str], body: str, plus: bool
) -> None:
    """What went out encoded, whichever way a space in the query is spelled, gets the header that the SDK computes."""
    method, path = call[0], "/" + "/".join(quote(segment, safe="") for segment in call[1])
    sent = urlencode(query, quote_via=quote_plus if plus else quote)
    signed = {**headers, **BASE, **JSON_TYPE}
    ours = Signer(AK, SK).authorization(method, path, sent, signed, sha256(body.encode()).hexdigest())
    assert ours == _vendor_authorization(method, path, list(query), signed, body)


@given(
    query=st.dictionaries(SEGMENT.filter(bool), st.lists(SEGMENT, min_size=1, max_size=4), max_size=3),
    order=st.randoms(use_true_random=False),
)
def test_repeated_keys_are_signed_as_the_vendor_signs_them(query: dict[str, list[str]], order: Any) -> None:
    """The SDK takes the values of a key as a list; on the wire they are pairs, in any order."""
    pairs = [(key, value) for key, values in query.items() for value in values]
    order.shuffle(pairs)
    ours = Signer(AK, SK).authorization("GET", "/v1", urlencode(pairs), BASE)
    theirs = _vendor_authorization("GET", "/v1", [(key, list(values)) for key, values in query.items()], BASE)
    assert ours == theirs


@given(access_key=TEXT.filter(bool), secret_key=st.text("abc/+0123456789ü", min_size=1, max_size=200))
@example(access_key="a", secret_key="s" * 64)
@example(access_key="a", secret_key="s" * 65)
def test_any_key_signs_as_with_the_vendor(access_key: str, secret_key: str) -> None:
    """Keys longer than the hash's block are hashed first, as HMAC has it."""
    request = SdkRequest(method="GET", schema="https", host="h", resource_path="/", query_params=[], body="",
                         header_params=dict(BASE))  # fmt: skip
    vendor = VendorSigner(BasicCredentials(access_key, secret_key)).sign(request).header_params["Authorization"]
    assert Signer(access_key, secret_key).authorization("GET", "/", "", BASE, EMPTY_HASH) == vendor
