"""What an answer, or none, says about an account, and what to do about it. Plain data in and out, no I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from statistics import median
from typing import NamedTuple

from sdrs_async.cloud.listing import Project
from sdrs_async.cloud.sites import Site
from sdrs_async.models import Reply, Verdict
from sdrs_async.report.discovery import in_words
from sdrs_async.report.remedies import is_certificate, listing_remedy, remedy
from sdrs_async.transport.proxies import is_loopback


class State(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - a word, no password
    FAIL = "fail"
    SKIPPED = "skipped"


class Found(NamedTuple):
    """What a check found, in a few words, and where it can be mended, how."""

    state: State
    detail: str
    remedy: str = ""


# All is well; something is to be mended, with a remedy; not checked, and why.
passed, failed, skipped = partial(Found, State.PASS), partial(Found, State.FAIL), partial(Found, State.SKIPPED)


def _said(reply: Reply) -> str:
    """What was answered, or what happened instead, in a few words."""
    status = reply.status_code
    text = _plain(reply.message) or str(reply.verdict)
    if status is None or status < 300:
        return text
    return f"{status}{f' {reply.error_code}' if reply.error_code else ''}: {text}"


# aiohttp puts the reason in brackets, behind host and TLS settings.
_NO_CONNECTION = re.compile(r"\ACannot connect to host .*? ssl:(?:<[^>]*>|\w+) \[(.*)\]\Z")


def _plain(message: str) -> str:
    return _NO_CONNECTION.sub(r"\1", message)


_TIMED_OUT = (
    "Nothing answers in time: check {flag}, the firewall, and whether the way there needs a proxy ({variable}); or "
    "give it more time."
)
_REFUSED = "Nothing answers there: check {flag}, the firewall, and whether the way there needs a proxy ({variable})."
_UNKNOWN_NAME = "No such host is known: check {flag}, and the DNS of this machine."
_PROXY = "The proxy {proxy} is from {variable}: correct that, or name the host in NO_PROXY if it needs no proxy."
_PROXY_SIGN_IN = "The proxy wants a user and password: {variable}=http://USER:PASSWORD@HOST:PORT."


def reach(reply: Reply, site: Site, *, at_iam: bool = False, name_is_known: bool = True) -> Found:
    """Whether anybody answers at the site. `name_is_known`: its host, or that of the proxy, has an address."""
    place = f"{site.endpoint}{f' through the proxy {site.proxy}' if site.proxy else ''}"
    flag = "--iam-endpoint or --region" if at_iam else "--endpoint or --region"
    names = {"flag": flag, "variable": site.proxy_variable, "proxy": site.proxy}
    if reply.status_code == 407:
        return failed(f"{place}: {reply.message or '407'}", _PROXY_SIGN_IN.format(**names))
    if reply.status_code is not None:
        return passed(f"{place} answers ({reply.status_code}) in {_milliseconds(reply.elapsed)}")
    if _is_tls(reply):
        return passed(f"{place} accepts connections")
    advice = _TIMED_OUT if reply.timed_out else _REFUSED
    if site.proxy:
        advice = _PROXY
    elif not name_is_known:
        advice = _UNKNOWN_NAME
    return failed(f"{place}: {_plain(reply.message)}", advice.format(**names))


_CERTIFICATE = re.compile(r"certificate verify failed: (.*?)(?: \(_ssl|$)")
_DATE, _CA_FILE = "if others get in, check the date of this machine.", "--ca-file (cacert in clouds.yaml)"
_NAMED = "Write the host as the certificate names it (--endpoint, --iam-endpoint), or check who answers there."
_BAD_CERTIFICATES = (
    ("expired", "has EXPIRED", f"Whoever runs the server has to renew its certificate; {_DATE}"),
    ("not yet valid", "is NOT YET VALID", "Check the date of this machine; or wait until the certificate is valid."),
    ("mismatch", "is for ANOTHER HOST", _NAMED),
    ("", "is NOT TRUSTED", f"Give the certificate of its authority with {_CA_FILE}; do not switch the check off."),
)
_NO_TLS = "Check the port, and that what answers there speaks https."
_UNCHECKED = "Set verify to true (clouds.yaml), with cacert or --ca-file for an authority of your own."


def _is_tls(reply: Reply) -> bool:
    """Whether it came as far as the handshake, and no further."""
    return is_certificate(reply.verdict, reply.message) or "[SSL:" in reply.message


def tls(reply: Reply, site: Site, *, verified: bool, trusted: str | None) -> Found:
    """Whether the way is safe. `verified`: certificates are checked, against the file `trusted` or the system's."""
    if not site.is_https:
        if is_loopback(site.base.host or ""):
            return skipped("plain http, which does not leave this machine")
        return skipped("NO TLS (--allow-http): the credential can be read on the way", "Use an https endpoint.")
    if _is_tls(reply):
        return _broken_tls(reply)
    if reply.status_code is None:
        return skipped("nobody answered")
    if not verified:
        return skipped("NOT CHECKED (verify: false): anybody on the way can read the credential", _UNCHECKED)
    return passed(f"the certificate is trusted, by {trusted or 'an authority of the system'}")


def _broken_tls(reply: Reply) -> Found:
    reason = _CERTIFICATE.search(reply.message)
    if reason is None:
        return failed(f"no TLS connection: {_plain(reply.message)}", _NO_TLS)
    _, is_so, advice = next(kind for kind in _BAD_CERTIFICATES if kind[0] in reason[1])
    return failed(f"the certificate {is_so}: {reason[1].rstrip('.')}", advice)


_SKEW = timedelta(minutes=15)  # vendor's guide on signing requests
_CLOCK = "Set this machine's clock (NTP): signatures are refused when it differs by more than 15 minutes."


def clock(reply: Reply, now: datetime) -> Found:
    """Whether signatures are good for the server's clock; `now`: this machine's when the reply came."""
    if reply.status_code is None:
        return skipped("unknown: there was no answer that tells the server's")
    if reply.date is None:
        return skipped("unknown: the server does not say what time it has (no Date header)")
    difference = now - reply.date
    seconds = abs(round(difference.total_seconds()))
    apart = f"{seconds} s" if seconds < 120 else str(timedelta(seconds=seconds))
    side = "ahead of" if difference > timedelta() else "behind"
    text = f"{apart} {side} the server's" if seconds > 1 else "the same as the server's, to the second"
    return failed(text, _CLOCK) if abs(difference) > _SKEW else passed(text)


_BAD_KEY = (
    "Check access key and secret key. Do not just try again: more than 5 refusals in a row lock the key for 5 minutes."
)
_BAD_SIGN_IN = "Correct what signs in (clouds.yaml, OS_*, HUAWEICLOUD_SDK_*) before it is tried again: accounts lock."
_BAD_TOKEN = "Get a new token: of this cloud and region, and scoped to the project."  # noqa: S105 - a sentence

_MORE_TIME = "The rates set for this account leave too little room in the time of a check: raise them, or that time."


def is_proof(reply: Reply) -> bool:
    """Whether the answer came from behind the sign-in."""
    is_of_sdrs = (reply.error_code or "").upper().startswith("SDRS.")
    return is_of_sdrs or reply.verdict in (Verdict.READ, Verdict.FORBIDDEN)


def credential(reply: Reply, *, one_key: bool) -> Found:
    """What the reply to a signed read says of the credential, or what a sign-in came to; `one_key` as in `Auth`."""
    if is_proof(reply):
        return passed("accepted (proven by one read)" if reply.status_code is not None else "signed in")
    if reply.verdict is not Verdict.UNAUTHORIZED:
        return _unread("not proven: ", reply, remedy(reply.verdict, reply.error_code, reply.message))
    advice = _BAD_KEY if one_key else _BAD_TOKEN
    return failed(f"REFUSED: {_said(reply)}", advice if reply.sent else _BAD_SIGN_IN)


def projects(found: Sequence[Project], usable: Sequence[Project], region: str | None) -> Found:
    """What the list of the account's projects says; `usable`: those that the service may have something of."""
    where = f"in {region}" if region else "(the region is not known)"
    text = f"{len(found):,} {'project' if len(found) == 1 else 'projects'}, {len(usable):,} usable {where}"
    if usable:
        return passed(text)
    if not found:
        return failed(text, "The account is in no project: have it added to one in IAM.")
    reasons = in_words(Counter(str(project.why_left_out(region)) for project in found))
    advice = "Choose the region that its projects are in (--region, --endpoint), or name one with --project."
    return failed(f"{text}; left out are: {reasons}", advice)


def listing(reply: Reply, *, of_account: bool) -> Found:
    """What a list that could not be read says; `of_account`: that of the account's projects."""
    return _unread("", reply, listing_remedy(reply.verdict, reply.error_code, reply.message, of_account=of_account))


def latency(seconds: Sequence[float], last: Reply, wanted: int) -> Found:
    """How fast `wanted` reads were answered, or those of them that were; `last`: the reply to the last."""
    of_them = f"{len(seconds)} of {wanted} reads" if len(seconds) < wanted else f"{wanted} reads"
    text = f"{_milliseconds(median(seconds))} (median of {of_them})" if seconds else f"none of {wanted} reads answered"
    if last.verdict in (Verdict.READ, Verdict.SKIPPED):
        return passed(text) if seconds else skipped(last.message)
    return _unread(f"{text}; ", last, remedy(last.verdict, last.error_code, last.message))


def _unread(before: str, reply: Reply, advice: str) -> Found:
    """What was not read is known by `SKIPPED` where the time was over before it could be sent."""
    if reply.verdict is Verdict.SKIPPED:
        return failed(f"{before}{reply.message}", _MORE_TIME)
    return failed(f"{before}{_said(reply)}", advice)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
