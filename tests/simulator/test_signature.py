"""Signatures as the simulator checks them: the vendor's own vectors, and what is wrong with a bad one."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from multidict import CIMultiDict

from sdrs_async.simulator.signature import SignedRequest, canonical_request, claim_of, refusal, sign

AK, SK = "FAKEAK0123456789ABCD", "FakeSecretKey0123456789abcdefFakeSecret0"
DATE = "20240102T030405Z"
NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
P, G = "0123456789abcdef0123456789abcdef", "decf224d-87fe-403a-8721-037a1a45c287"
J = "ff808082686f229a0168707beaab014e"
BATCH = f"/v1/{P}/task-center/{G}/failure-jobs/batch"
GROUPS = f"/v1/{P}/server-groups"
PROJECT = {"X-Project-Id": P}

# Output of the vendor's own signer: request, extra headers, SHA-256 of the canonical request, signature.
VECTORS = {
    "V1": (
        *("DELETE", BATCH, "", {}),
        "7032a3bf52f4fcbbc9769ebed933ca702f21140a7af71591faf65876b69873cc",
        "0899cb596dbffacab32c8efc2153ff59130c837c2fae7f34a9dd14fdd945b6a5",
    ),
    "V2": (
        *("DELETE", BATCH, "", {"Content-Type": "application/json", **PROJECT}),
        "6a832dcc768eb3cdaacc97b9a42f348af2401495bc0eeb85e223fc9258de83d4",
        "5fffca62f295f4ef3c903f3003588a9b9528235a2ba61ae83c64382aac82eee3",
    ),
    "V3": (
        *("GET", f"/v1/{P}/task-center/failure-jobs"),
        *(f"server_group_id={G}&limit=1000&offset=0&failure_status=createFail", {}),
        "4b477d0adf9d800bde04426c5b83a6b1782862761f1ab1e1978f9d6a6293b0ce",
        "6c7333fafe846c2d5ccfbb67a2232267c730b358ea95d6c40cb9be2a16076313",
    ),
    "V4": (
        *("GET", GROUPS, "name=a+b%2Bc/%C3%BC~*&limit=50&availability_zone=eu-de-01", PROJECT),
        "d9ad3ae1dad16e86d36a137ab3911b3755225127d2bf2cf4b4f18c73f64b668c",
        "27ee368d89de5d9b6cc084aafac0d856d28f18d122108a1749d3b4cac9437fd4",
    ),
    "V5": (
        *("DELETE", f"/v1/{P}/task-center/failure-jobs/{J}", ""),
        {**PROJECT, "X-Security-Token": "fake-security-token-value"},
        "7cc808ffb2404859d30a5c2570cdf7f3fd16ff0859fbeb326f132746e617763b",
        "0b99e4237b6565adc2d17a508b0cf37901d2c6ea42dd623965e2bf9dc7d14da5",
    ),
    "V7": (
        *("GET", f"{GROUPS}/a%20b", "", {}),
        "a006876eac3815a3f9cc1ad9e81ac0a384c132cca399fb56f3ce3c1fd7de00e9",
        "36d38eeb85a9d96889db8154c17bee14087f1d46415ec44a1aa736a245391243",
    ),
    "V8": (
        *("GET", GROUPS, "b=&a=z&a=y&A=1", {}),
        "949dfca4ac19e6b03e21375c55dec0e94e4858f549101794c09e2259ff754987",
        "e6597a6152f09cadbf33d0225eb424d5fc98402987bd0c8d2a686a2df9da428a",
    ),
}

# Output of the signer of another client of this API, in the older form: the vector with its request, scope, signature.
OLD_VECTORS = {
    "O1": ("V1", "20240102///sdk_request", "dac9bc0c884f97a742f2620d2441238299f8280812ae19a207a512d3667842f5"),
    "O2": ("V1", "20240102/eu-de/sdrs/sdk_request", "4ac925335e299b65979813a20ad8a8334ef4d1ba96cd7104f953a3d0a882e7e6"),
    "O3": ("V3", "20240102///sdk_request", "9d5018ff4e0397be2c5894443961cab2a829fa3c8e4c7d38522b3fcb1cdfc553"),
}


def received(
    method: str = "DELETE", path: str = BATCH, query: str = "", extra: dict[str, str] | None = None, body: bytes = b""
) -> tuple[SignedRequest, list[str]]:
    """A request with the vectors' host and date, and the names of its signed headers."""
    headers = CIMultiDict({"Host": "sdrs.eu-de.otc.t-systems.com", "X-Sdk-Date": DATE, **(extra or {})})
    return SignedRequest(method, path, query, headers, body), sorted(name.lower() for name in headers)


def authorize(
    request: SignedRequest, names: list[str], *, signature: str | None = None, scope: str | None = None
) -> SignedRequest:
    """The same request with its Authorization header; with a scope in the older form."""
    signature = signature or sign(request, names, SK, scope)
    key = f"Access={AK}" if scope is None else f"Credential={AK}/{scope}"
    value = f"SDK-HMAC-SHA256 {key}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return request._replace(headers=CIMultiDict({**request.headers, "Authorization": value}))


def refused(request: SignedRequest, now: datetime = NOW) -> str | None:
    """Why the request is refused, which carries a claim in either form."""
    claim = claim_of(request.headers["Authorization"])
    assert claim is not None
    assert claim.access_key == AK
    return refusal(request, claim, SK, now)


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_the_vendor_s_signatures_are_right(vector: tuple[str, str, str, dict[str, str], str, str]) -> None:
    """Canonical request and signature are those of the vendor's signer, and a request that carries them gets in."""
    *parts, digest, signature = vector
    request, names = received(*parts)  # type: ignore[arg-type]  # the tuple is unpacked
    assert hashlib.sha256(canonical_request(request, names).encode()).hexdigest() == digest
    assert sign(request, names, SK) == signature
    assert refused(authorize(request, names, signature=signature)) is None


@pytest.mark.parametrize(("vector", "scope", "signature"), OLD_VECTORS.values(), ids=OLD_VECTORS)
def test_the_older_form_is_right(vector: str, scope: str, signature: str) -> None:
    """Its key is derived from the scope, which is a line of what is signed; region and service may be empty."""
    request, names = received(*VECTORS[vector][:4])
    assert sign(request, names, SK, scope) == signature
    assert refused(authorize(request, names, signature=signature, scope=scope)) is None


@pytest.mark.parametrize("scope", ["20240103///sdk_request", "20240102//sdk_request", "20240102///aws4_request", "x"])
def test_a_wrong_scope_is_refused(scope: str) -> None:
    """Of another day or another form, also when it was signed with it."""
    assert refused(authorize(*received(), scope=scope)) == (
        "verify ak sk signature fail, the scope of the credential is wrong"
    )


@pytest.mark.parametrize(
    "header",
    [
        "SDK-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=x/20240102///sdk_request, SignedHeaders=host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=x, SignedHeaders=host, Signature=0",
        "SDK-HMAC-SHA256",
    ],
)
def test_a_header_of_another_form_is_no_claim(header: str) -> None:
    """Neither form: nothing is guessed."""
    assert claim_of(header) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"path": BATCH.replace("batch", "batcH")}, "canonicalRequest:DELETE|/v1/"),
        ({"method": "GET"}, "canonicalRequest:GET|"),
        ({"query": "a=b"}, "canonicalRequest"),
        ({"body": b"x"}, "canonicalRequest"),
    ],
)
def test_what_was_changed_after_signing_is_refused(change: dict[str, Any], reason: str) -> None:
    """Method, path, query and body are all under the signature; the refusal shows what the server has read."""
    request = authorize(*received())
    assert reason in (refused(request._replace(**change)) or "")


def test_a_header_that_is_named_must_be_there_and_host_and_date_must_be_named() -> None:
    """The refusal names what is not signed."""
    request, names = received()
    for wrong, missing in (["x-sdk-date"], "host"), ([*names, "x-none"], "x-none"):
        reason = refused(authorize(request, wrong, signature="0" * 64))
        assert reason == f"verify ak sk signature fail, not signed: {missing}"


def test_a_date_that_is_none_is_refused() -> None:
    """With a right signature over it."""
    request, names = received()
    headers = CIMultiDict({**request.headers, "X-Sdk-Date": "yesterday"})
    assert "not a date" in (refused(authorize(request._replace(headers=headers), names)) or "")


@pytest.mark.parametrize(("minutes", "good"), [(-16, False), (-15, True), (0, True), (15, True), (16, False)])
def test_the_clocks_may_differ_by_a_quarter_of_an_hour(minutes: int, good: bool) -> None:
    """Beyond that the signature has expired, and both clocks are told."""
    reason = refused(authorize(*received()), NOW + timedelta(minutes=minutes))
    assert (
        good
        if reason is None
        else not good and reason.startswith(f"signature expired, the time in the request is {DATE}")
    )


def test_a_body_may_be_left_out_of_the_signature() -> None:
    """`X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD` puts that word in the place of the body's hash."""
    request, names = received(extra={"X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"}, body=b"one")
    signed = authorize(request, names)
    assert canonical_request(request, names).endswith("\nUNSIGNED-PAYLOAD")
    assert refused(signed._replace(body=b"two")) is None
    assert refused(signed._replace(body=b"")) is not None
