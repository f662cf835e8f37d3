"""From what aiohttp received, or failed with, to a classified reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import aiohttp

from sdrs_async.auth import SignInFailed
from sdrs_async.cloud.answers import (
    ErrorBody,
    failure_in,
    json_in,
    one_line,
    parse_date,
    parse_error,
    parse_retry_after,
    parse_throttle,
    redirect,
    web_page,
)
from sdrs_async.cloud.verdicts import classify
from sdrs_async.errors import AuthenticationError
from sdrs_async.models import Reply, Verdict
from sdrs_async.transport.bodies import Piece, Unreadable, parse_page
from sdrs_async.transport.connections import NOTHING_SENT
from sdrs_async.transport.redaction import Secrets, is_plain_id, secrets_sent, without_user_info
from sdrs_async.transport.trust import is_bad_certificate

_MOST_FAILURE = 64 * 1024  # bytes of a page that says what went wrong
_REQUEST_IDS = ("X-Request-Id", "X-IAM-Trace-Id")


def sign_in_reply(error: AuthenticationError) -> Reply:
    """What a failed sign-in means for the request that needed it; without a word about that it is final."""
    if isinstance(error, SignInFailed):
        return error.reply
    return Reply(Verdict.UNAUTHORIZED, message=str(error), retryable=False, sent=False)


async def read_page(response: aiohttp.ClientResponse, body: bytes | Unreadable, elapsed: float) -> Reply:
    """One page of a list, or what is none: a fault that another try may mend, unless `Unreadable` or for browsers."""
    verdict, message, data = Verdict.TRANSIENT, "the answer is no JSON object", None
    try:
        if isinstance(body, Unreadable):
            raise body
        if page := web_page(_type_of(response), body):
            raise Unreadable(page)
        value = await parse_page(body)
    except Unreadable as error:
        verdict, message = Verdict.REJECTED, str(error)
    except ValueError as error:
        message = str(error)
    else:
        if isinstance(value, dict):
            # What fails is no list, and the items of one have error codes of their own.
            is_short = len(body) <= _MOST_FAILURE and not any(isinstance(part, list) for part in value.values())
            if is_short and (failure := failure_in(value)):
                return _refused(response, 400, failure, failure.message, elapsed)
            verdict, message, data = Verdict.READ, "", value
    return Reply(
        verdict, response.status, message=message, request_id=request_id(response), elapsed=elapsed, data=data,
        date=parse_date(response.headers.get("Date")),
    )  # fmt: skip


def read_deleted(response: aiohttp.ClientResponse, body: Piece, elapsed: float) -> Reply:
    """The 2xx of a deletion that has a body: done, unless that is a page for a browser, or says what went wrong."""
    if page := web_page(_type_of(response), body.data, is_whole=body.is_whole and not body.unread):
        return _refused(response, 400, ErrorBody(), page, elapsed)
    if failure := failure_in(json_in(body.data)):
        return _refused(response, 400, failure, failure.message, elapsed)
    return Reply(Verdict.DELETED, response.status, request_id=request_id(response), elapsed=elapsed)


def read_reply(response: aiohttp.ClientResponse, body: Piece, elapsed: float) -> Reply:
    """An answer that is not a 2xx, with what could be read of its body."""
    error = parse_error(body.data)
    message = _of_another(response, body) or error.message or body.unread or one_line(response.reason or "")
    if response.status == 407:  # of a proxy, for plain http here, as below for a tunnel
        message = f"the proxy answered 407 {message}".rstrip()
    return _refused(response, response.status, error, message, elapsed)


def _of_another(response: aiohttp.ClientResponse, body: Piece) -> str | None:
    """What to say where it seems that something else than the service has refused. Gateways fail with pages too."""
    if 300 <= response.status < 400:
        return redirect(response.headers.get("Location", ""))
    is_its_own = response.status in (407, 429) or response.status >= 500
    return None if is_its_own else web_page(_type_of(response), body.data, is_whole=body.is_whole)


def _type_of(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("Content-Type", "")


def _refused(response: aiohttp.ClientResponse, status: int, error: ErrorBody, message: str, elapsed: float) -> Reply:
    """`status`: the one that it counts as."""
    scope, told = parse_throttle(error.message)
    return Reply(
        verdict=classify(status, error.code),
        status_code=response.status,
        error_code=error.code if error.code != str(response.status) else None,  # that is IAM's, and no news
        message=message,
        request_id=request_id(response) or error.request_id,
        retry_after=parse_retry_after(response.headers.get("Retry-After")),
        scope=scope,
        told=told,
        elapsed=elapsed,
        date=parse_date(response.headers.get("Date")),
    )


def request_id(response: aiohttp.ClientResponse) -> str | None:
    """The id that the gateway, or IAM, gave the request."""
    for name in _REQUEST_IDS:
        if (value := response.headers.get(name)) and value.isprintable():
            return value[:100]
    return None


def without_secrets(reply: Reply, headers: Mapping[str, str], held: Callable[[], Iterable[str]]) -> Reply:
    """The reply without what it echoes of the `headers` that signed the request, and of what else `held` gives."""
    is_plain = reply.request_id is None or is_plain_id(reply.request_id, headers.values())
    if is_plain and not (reply.message or reply.error_code):
        return reply  # nearly always
    secrets = Secrets((*secrets_sent(headers), *held()))
    shown = [reply.message, reply.error_code or "", reply.request_id or ""]
    struck = [secrets.struck(text) for text in shown]
    if struck == shown:
        return reply
    return replace(reply, message=struck[0], error_code=struck[1] or None, request_id=struck[2] or None)


def unreachable(error: Exception, elapsed: float, *, sent: bool = True) -> Reply:
    """No answer came; `sent`: the request had gone out, or tried to."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        # Only its 407 is an answer: its 404 says nothing of a protection group.
        text = _shown(f"the proxy answered {error.status} {error.message}")
        verdict, status = (Verdict.REJECTED, 407) if error.status == 407 else (Verdict.UNREACHABLE, None)
        return Reply(verdict, status, message=text, elapsed=elapsed)
    timed_out = isinstance(error, TimeoutError)
    text = f"no answer within {elapsed:.1f} s" if timed_out else _shown(str(error)) or type(error).__name__
    return Reply(
        Verdict.UNREACHABLE, message=text, retryable=not is_bad_certificate(text), timed_out=timed_out,
        lost=sent and not _never_sent(error), sent=sent, elapsed=elapsed,
    )  # fmt: skip


def _never_sent(error: BaseException) -> bool:
    """Whether not a byte of the request can have reached the server."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return True
    # A time-out is raised from the cancellation that ended the request.
    return any(NOTHING_SENT in getattr(each, "__notes__", ()) for each in (error, error.__cause__))


def _shown(text: str) -> str:
    """What an exception says, on one line, without the user and password that a URL in it may hold."""
    return one_line(without_user_info(text))
