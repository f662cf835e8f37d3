"""What an answer means. Sources: vendor page sdrs_05_1101 (SDRS codes), the gateway's error table (APIGW/APIG)."""

from __future__ import annotations

from sdrs_async.models import Verdict

# Any other of 500 and above is TRANSIENT, and of the rest REJECTED.
_STATUS: dict[int, Verdict] = {
    401: Verdict.UNAUTHORIZED,
    403: Verdict.FORBIDDEN,
    404: Verdict.GONE,
    408: Verdict.TRANSIENT,
    409: Verdict.CONFLICT,
    429: Verdict.THROTTLED,
    501: Verdict.REJECTED,
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
_BAD_REQUEST = {"SDRS.1013": Verdict.GONE, "SDRS.1002": Verdict.CONFLICT}
NO_SUCH_API = ("0101", "0103")
"""Numbers of the gateway for a wrong host or path. They come as 404; read as "gone" they would report a clean fleet
that nobody has cleaned."""
_GATEWAY: dict[str, Verdict] = {
    **dict.fromkeys(("0301", "0303", "0305", "0307", "0311"), Verdict.UNAUTHORIZED),
    **dict.fromkeys(NO_SUCH_API, Verdict.REJECTED),
    "0308": Verdict.THROTTLED,
}


def classify(status: int, code: str | None) -> Verdict:
    """What an answer means, from its status and error code. Total: every pair has a verdict."""
    if 200 <= status < 300:
        return Verdict.DELETED
    code = (code or "").upper()
    by_code = _GATEWAY.get(gateway_number(code)) or _SDRS.get(code) or (status == 400 and _BAD_REQUEST.get(code))
    return by_code or _STATUS.get(status) or (Verdict.TRANSIENT if status >= 500 else Verdict.REJECTED)


def gateway_number(code: str) -> str:
    """What counts of a code of the gateway, `APIGW.` or `APIG.` at Huawei, `APIG.` at OTC; of another it is empty."""
    prefix, _, number = code.upper().partition(".")
    return number if prefix in ("APIGW", "APIG") else ""
