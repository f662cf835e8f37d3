"""What to do about a failure, a list or a sign-in, by verdict and error code; and whether another run may mend it.

Sources of the codes: vendor page sdrs_05_1101 (SDRS), the gateway's error table (APIGW/APIG: only the number counts).
"""

from __future__ import annotations

from sdrs_async.models import Verdict

__all__ = ["ACCOUNT_REMEDY", "is_certificate", "listing_remedy", "remedy", "worth_retrying"]

_BY_VERDICT: dict[str, str] = {
    Verdict.REJECTED: "The service does not take this request: read its message, then check --endpoint and the ids.",
    Verdict.UNAUTHORIZED: "Get a new token or key, or correct what signs in for it (clouds.yaml, OS_*); check that "
    "it is for this project and its region, then run again.",
    Verdict.FORBIDDEN: "Give the account the role SDRS Administrator in this project, then run again.",
    Verdict.CONFLICT: "The group is busy with another operation: run again once that has ended.",
    Verdict.THROTTLED: "Lower --project-rate or --user-rate, or give more time with --retry-time; then run again.",
    Verdict.TRANSIENT: "The service had a fault that usually passes: run again later; if it stays, ask the cloud's "
    "support and name the request ids.",
    Verdict.UNREACHABLE: "Check --endpoint, DNS, proxy and firewall, or give a longer --timeout; then run again.",
    Verdict.SKIPPED: "Not sent, since its project or account was stopped: settle what stopped it, then run again.",
}
_OTHER = "Read the message, settle what it names, then run again."

_TOKEN = "Get a token that is scoped to this project (not to the domain), then run again."  # noqa: S105 - a sentence
_STATE = "The group's state does not allow it: look at the group in the console, mend its state, then run again."
_WRONG_HOST = "The gateway knows no such API at this address: --endpoint must be the SDRS host of the projects' region."
_BY_CODE: dict[str, str] = {
    "SDRS.0001": f"Check the project id in the targets: it may not exist or not be the token's. {_TOKEN}",
    **dict.fromkeys(("SDRS.0002", "SDRS.0003"), _TOKEN),
    "SDRS.0207": "The id is not one of a protection group: correct it in the targets.",
    "SDRS.1002": "The group is busy, its present state does not allow this: run again once its operation has ended.",
    **dict.fromkeys(("SDRS.1015", *(f"SDRS.{number}" for number in range(1017, 1025))), _STATE),
    "IAM.0012": "Signing in is throttled by IAM itself: wait a minute, then run again with fewer projects at a time.",
}
_BY_GATEWAY_NUMBER: dict[str, str] = {
    **dict.fromkeys(("0101", "0103"), _WRONG_HOST),
    "0301": "The credential was refused: get a new token, or check access key, secret key and this machine's clock; "
    "more than 5 refusals lock the key for 5 minutes.",
    "0307": "The token has expired or belongs to another region: get a new one where this endpoint is, then run again.",
    **dict.fromkeys(
        ("0310", "0401", "0402", "0404"),
        "The gateway lets neither this project nor this machine's address in: have its access rules changed.",
    ),
    "0801": "SDRS is not available in this region: check the region in --endpoint.",
    "0802": "The account may not use this region: check the region in --endpoint, or have the account let in.",
}
_CERTIFICATE = "The server's certificate is not trusted: give its CA with --ca-file, or correct the host in --endpoint."
_OF_LISTS: dict[str, str] = {
    Verdict.GONE: "There is no such project here: check its id, and that it is of this region and account.",
    Verdict.INCOMPLETE: "There may be more than was seen: run again once nobody changes the project; if it stays, "
    "delete the rest with --targets.",
}
_NOT_MEANT = (
    "Nothing was sent for it: give --project (fleet file: projects) the id, or letter for letter the name, of a "
    "project that can be used in this region; plan --all-projects shows them, and how many are left out."
)
_OF_PROJECT_LISTS: dict[str, str] = {
    **dict.fromkeys(
        (Verdict.REJECTED, Verdict.GONE), "IAM does not take this request: check --iam-endpoint and --region."
    ),
    Verdict.FORBIDDEN: "The account may not list its projects: name them with --project, or have it permitted in IAM.",
    Verdict.THROTTLED: "IAM itself throttles: wait a minute, then run again.",
    Verdict.UNREACHABLE: "Check --iam-endpoint, DNS, proxy and firewall, or give a longer --timeout; then run again.",
    Verdict.INCOMPLETE: "IAM's list is not whole, or at odds with itself, so that no project was taken from it: name "
    "them with --project, by their ids.",
}
ACCOUNT_REMEDY = (
    "Check access key, secret key and this machine's clock (more than 5 refusals lock the key for 5 minutes), or the "
    "token, or the user and password it signs in with; then run again."
)
"""What to do about an account that was refused as a whole."""
_MAY_PASS = frozenset({Verdict.THROTTLED, Verdict.TRANSIENT, Verdict.UNREACHABLE, Verdict.CONFLICT})


def remedy(verdict: str, error_code: str | None, message: str = "") -> str:
    """One sentence on what to do. A certificate error has no code of its own and is known by its message."""
    return _by_cause(verdict, error_code, message) or _BY_VERDICT.get(verdict, _OTHER)


def listing_remedy(
    verdict: str, error_code: str | None, message: str, *, of_account: bool, answered: bool = True
) -> str:
    """The same for a list that could not be read; `of_account`: the list of the account's projects, at IAM.

    Not `answered`, a project was rejected before it was asked for: it is not one that was meant for sure.
    """
    if verdict == Verdict.REJECTED and not (answered or of_account):
        return _NOT_MEANT
    by_verdict = _OF_PROJECT_LISTS if of_account else _OF_LISTS
    return _by_cause(verdict, error_code, message) or by_verdict.get(verdict) or remedy(verdict, None)


def _by_cause(verdict: str, error_code: str | None, message: str) -> str | None:
    if is_certificate(verdict, message):
        return _CERTIFICATE
    prefix, _, number = (error_code or "").upper().partition(".")
    return _BY_GATEWAY_NUMBER.get(number) if prefix in ("APIGW", "APIG") else _BY_CODE.get(f"{prefix}.{number}")


def worth_retrying(verdict: str, message: str = "") -> bool:
    """Whether the same run, some time later, may well succeed (exit code 5)."""
    return verdict in _MAY_PASS and not is_certificate(verdict, message)


def is_certificate(verdict: str, message: str) -> bool:
    """Whether the server's certificate is to blame, which has no error code and no time will mend."""
    return verdict == Verdict.UNREACHABLE and "certificate" in message.lower()
