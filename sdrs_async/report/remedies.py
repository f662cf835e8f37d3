"""What to do about a failure, a list or a sign-in, by verdict and error code; and whether another run may mend it.

Sources of the codes: vendor page sdrs_05_1101 (SDRS), the gateway's error table (APIGW/APIG: only the number counts).
"""

from __future__ import annotations

from sdrs_async.cloud.answers import REDIRECT, WEB_PAGE
from sdrs_async.cloud.verdicts import NO_SUCH_API, gateway_number
from sdrs_async.models import Verdict
from sdrs_async.transport.trust import is_bad_certificate

_BY_VERDICT: dict[str, str] = {
    Verdict.REJECTED: "The service does not take this request: read its message, then check --endpoint and the ids.",
    Verdict.UNAUTHORIZED: "Get a new token or key, or correct what signs in for it (clouds.yaml, OS_*); check that "
    "it is for this project and its region, then run again.",
    Verdict.FORBIDDEN: "Give the account the role SDRS Administrator in this project, then run again.",
    Verdict.CONFLICT: "The group is busy with another operation: run again once that has ended.",
    Verdict.THROTTLED: "Lower --project-rate or --user-rate, or give more time with --retry-time; where IAM throttles "
    "the sign-ins, wait a minute; then run again.",
    Verdict.TRANSIENT: "The service had a fault that usually passes: run again later; if it stays, ask the cloud's "
    "support and name the request ids.",
    Verdict.UNREACHABLE: "Check --endpoint (of a sign-in: auth_url), DNS, proxy and firewall, or give a longer "
    "--timeout; then run again.",
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
    **dict.fromkeys(NO_SUCH_API, _WRONG_HOST),
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
_CERTIFICATE, _PAGE = "certificate", "web page"
# What the message alone tells. At IAM its own flag stands for that of the endpoint.
_BY_KIND: dict[str, str] = {
    _CERTIFICATE: "The server's certificate is not trusted: give its CA with --ca-file (fleet file: ca_file; "
    "clouds.yaml: cacert; OS_CACERT, SSL_CERT_FILE), or correct the host in --endpoint.",
    _PAGE: "Something else answered than the service, a login page or a proxy perhaps: check --endpoint (of "
    "a sign-in: auth_url), HTTPS_PROXY and NO_PROXY, and whether this network wants to be signed in to.",
    "proxy": "The proxy wants to be signed in to: give it user and password (HTTPS_PROXY=http://USER:PASSWORD@HOST), "
    "or name the host in NO_PROXY.",
}
_OF_LISTS: dict[str, str] = {
    Verdict.GONE: "There is no such project here: check its id or name, --endpoint, and that it is of this region and "
    "account.",
    Verdict.REJECTED: "What the message names was left alone: settle that, or correct what was given with --project; "
    "where no list came at all, check --endpoint.",
    Verdict.INCOMPLETE: "There may be more than was seen: run again once nobody changes the project; if it stays, "
    "delete the rest with --targets.",
}
_NOT_MEANT = (
    "Nothing was sent for it: give --project (fleet file: projects) the id, or letter for letter the name, of a "
    "project that can be used in this region; plan --all-projects shows them, and how many are left out."
)
_OF_PROJECT_LISTS: dict[str, str] = {
    Verdict.GONE: "IAM knows no such call at this address: check --iam-endpoint and --region.",
    Verdict.REJECTED: "IAM's list cannot be used as the message says: settle that, check --iam-endpoint and --region, "
    "or name the projects with --project, by their ids.",
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
_FINAL = frozenset({Verdict.REJECTED, Verdict.UNAUTHORIZED, Verdict.FORBIDDEN, Verdict.GONE})
_MAY_PASS = frozenset({Verdict.THROTTLED, Verdict.TRANSIENT, Verdict.UNREACHABLE, Verdict.CONFLICT})


def remedy(verdict: str, error_code: str | None, message: str = "") -> str:
    """One sentence on what to do. Some causes have no code of their own and are known by the message, see `kind_of`."""
    return _by_cause(verdict, error_code, message) or _BY_VERDICT.get(verdict, _OTHER)


def listing_remedy(
    verdict: str, error_code: str | None, message: str, *, of_account: bool, answered: bool = True
) -> str:
    """The same for a list that could not be read; `of_account`: the list of the account's projects, at IAM.

    Not `answered`, a project was rejected before it was asked for: it is not one that was meant for sure.
    """
    if not of_account:
        if verdict == Verdict.REJECTED and not answered:
            return _NOT_MEANT
        return _by_cause(verdict, error_code, message) or _OF_LISTS.get(verdict) or remedy(verdict, None)
    by_cause = _by_cause(verdict, error_code, message)
    if by_cause == _WRONG_HOST:  # of the service, which has nothing to do with it
        by_cause = None
    return (by_cause or "").replace("--endpoint", "--iam-endpoint") or (
        _OF_PROJECT_LISTS.get(verdict) or remedy(verdict, None)
    )


def is_this_the_endpoint(account: str, endpoint: str, count: int) -> tuple[str, str]:
    """What happened and what to do where nothing but `count` 404s without an error code came for an account.

    `account` and `endpoint` may be empty.
    """
    whose = f" for account {account}" if account else ""
    answers = "the only answer was a 404" if count == 1 else f"all {count:,} answers were 404s"
    what = f"{answers} without an error code of the service{whose}, as any wrong host gives: is this the endpoint?"
    host = f"{endpoint} is" if endpoint else "the endpoint is"
    owner = f"account {account}" if account else "the account"
    return what, (
        f"Check that {host} the SDRS host of these projects' region (--endpoint, --region), and that the ids of "
        f"projects and groups belong to {owner}; then run again."
    )


def _by_cause(verdict: str, error_code: str | None, message: str) -> str | None:
    if kind := kind_of(verdict, message):
        return _BY_KIND[kind]
    code = error_code or ""
    return _BY_GATEWAY_NUMBER.get(gateway_number(code)) or _BY_CODE.get(code.upper())


def worth_retrying(verdict: str, message: str = "") -> bool:
    """Whether the same run, some time later, may well succeed (exit code 5)."""
    return verdict in _MAY_PASS and not kind_of(verdict, message)


def kind_of(verdict: str, message: str) -> str:
    """What has no error code of its own and is known by its message: `certificate`, `web page`, `proxy`; else empty."""
    if verdict == Verdict.UNREACHABLE and is_bad_certificate(message):
        return _CERTIFICATE
    if verdict in _FINAL and message.startswith((WEB_PAGE, REDIRECT)):
        return _PAGE
    if verdict == Verdict.TRANSIENT and f": {WEB_PAGE}" in message:  # of a sign-in, after what signs in, and where
        return _PAGE
    return "proxy" if verdict == Verdict.REJECTED and message.startswith("the proxy answered 407") else ""


def is_certificate(verdict: str, message: str) -> bool:
    """Whether the server's certificate is to blame, which no time will mend."""
    return kind_of(verdict, message) == _CERTIFICATE
