"""The wire: one `send` is one request and one classified reply. The only client-side code that sends requests."""

from __future__ import annotations

import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

import aiohttp
import anyio
from yarl import URL

from sdrs_async.auth import Auth, SignInFailed, awaitable
from sdrs_async.deadlines import Deadlines
from sdrs_async.errors import AuthenticationError, ConfigError
from sdrs_async.models import Call, Limits, Listing, Reply, Request, RetryPolicy, Verdict
from sdrs_async.replies import read_page, read_reply, request_id, sign_in_reply, unreachable, without_secrets
from sdrs_async.sites import Site, tls_context
from sdrs_async.wire import parse_date, path_of

__all__ = ["Client"]

log = logging.getLogger("sdrs_async")

_MAX_ERROR_BODY = 64 * 1024
_MAX_PAGE = 64 * 1024 * 1024
_CONNECT_TIMEOUT = 10.0
# Headers of a credential that are worth nothing to anybody else.
_HARMLESS = frozenset({"x-sdk-date", "x-project-id", "x-domain-id", "host", "content-type"})


class Client:
    """One aiohttp session for one run, used as an async context manager.

    The connection pool is as large as `limits.concurrency`, so that no request waits for a connection inside its own
    time. `ca_file` replaces the system's certificates; they are checked unless the credential's own configuration says
    otherwise (`Auth.verify`). Proxies come from the environment, netrc never. `iam_endpoint`: where projects are
    listed.
    """

    def __init__(
        self,
        endpoint: str,
        auth: Auth,
        *,
        limits: Limits,
        retry: RetryPolicy,
        iam_endpoint: str | None = None,
        ca_file: str | None = None,
        allow_http: bool = False,
    ) -> None:
        self._site = Site(endpoint, allow_http=allow_http)
        self._iam = Site(iam_endpoint, allow_http=allow_http) if iam_endpoint else None
        self._auth = auth
        self._sign: Callable[..., Awaitable[Mapping[str, str]]] = awaitable(auth, "sign")
        self._prepare: Callable[[str], Awaitable[float]] | None = (
            awaitable(auth, "prepare") if getattr(auth, "prepare", None) is not None else None
        )
        self._pool = limits.concurrency or 0
        # The total time, reading included, is kept by `Deadlines`: aiohttp's own costs a timer per request.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(_CONNECT_TIMEOUT, retry.timeout))
        self._tls = self._certificates(ca_file, getattr(auth, "verify", True))

    def _certificates(self, ca_file: str | None, verify: bool | str) -> ssl.SSLContext | bool:
        if not (self._site.is_https or (self._iam is not None and self._iam.is_https)):
            return True
        if ca_file is None and verify is False:
            log.warning("certificates are NOT checked (verify: false): anybody on the way can read the credential")
            return False
        return tls_context(ca_file or (verify if isinstance(verify, str) else None))

    @property
    def endpoint(self) -> str:
        """Where the service is, without its version."""
        return self._site.endpoint

    @property
    def signs_in(self) -> bool:
        """Whether the credential has to be signed in to each project."""
        return self._prepare is not None

    async def __aenter__(self) -> Self:
        self._deadlines = Deadlines()
        connector = aiohttp.TCPConnector(limit=self._pool, ssl=self._tls)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            headers={"User-Agent": "sdrs-async"},
            # aiohttp's own reading of the environment (trust_env) would also send what ~/.netrc holds.
            trust_env=False,
        )
        # aiohttp sends a DELETE a second time by itself when a kept-alive connection closes. That breaks the pacing's
        # proof and the count of tries, and a signature may be too old by then. There is no public switch (aiohttp
        # client.py, `retry_persistent_connection`); tests/test_client.py counts arrivals to notice when this changes.
        self._session._retry_connection = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.close()
        await self._session.close()

    async def send(self, call: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - kept by `Deadlines`
        """One request, one reply: delete a target's failed tasks, or read one page of a list.

        `timeout` is in seconds, signing included. What a server or network does is data; `ConfigError` only for an id
        that is refused, and for a list of IAM where no `iam_endpoint` was given.
        """
        request, url, proxy = self._request(call)
        started = time.perf_counter()
        headers: Mapping[str, str] | None = None
        try:
            with self._deadlines.after(timeout):
                headers = await self._sign(request, call.project_id)
                response = await self._session.request(
                    request.method, url, headers=headers, allow_redirects=False, proxy=proxy
                )
                elapsed = time.perf_counter() - started
                page = await self._read_page(response) if request.method == "GET" else None
        except AuthenticationError as error:
            return sign_in_reply(error)
        except (aiohttp.ClientError, OSError) as error:
            reply = unreachable(error, time.perf_counter() - started, sent=headers is not None)
        else:
            reply = (
                await self._reply(response, elapsed, timeout) if page is None else read_page(response, page, elapsed)
            )
        if headers and (reply.message or reply.error_code or _may_echo(reply.request_id, headers)):
            reply = without_secrets(reply, [value for name, value in headers.items() if name.lower() not in _HARMLESS])
        if reply.verdict is Verdict.UNAUTHORIZED and not self._auth.invalidate(call.project_id, headers or {}):
            reply = replace(reply, retryable=False)
        if log.isEnabledFor(logging.DEBUG):
            # The query of a further page of IAM is the server's word, and may be anything that it was sent.
            shown = request.url.partition("?")[0] if isinstance(call, Listing) and call.at_iam else request.url
            log.debug(
                "%s %s -> %s %s in %.0f ms, request id %s",
                request.method, shown, reply.status_code, reply.verdict, reply.elapsed * 1000, reply.request_id,
            )  # fmt: skip
        return reply

    def _request(self, call: Call) -> tuple[Request, URL, URL | None]:
        """What to sign, the same URL as aiohttp takes it (not parsed again: that costs 2 microseconds), the proxy."""
        path = path_of(call)
        if not isinstance(call, Listing):
            site = self._site
            request = Request("DELETE", site.endpoint + path, {}, site.host, site.root + path)
            return request, site.base.with_path(request.path, encoded=True), site.proxy
        site = self._iam_site() if call.at_iam else self._site
        url = f"{site.endpoint}{path}{'?' if call.query else ''}{call.query}"
        request = Request("GET", url, host=site.host, path=site.root + path, query=call.query)
        return request, URL(url, encoded=True), site.proxy

    def _iam_site(self) -> Site:
        if self._iam is None:
            raise ConfigError("the projects are listed by IAM: give its endpoint (iam_endpoint, --iam-endpoint)")
        return self._iam

    async def sign_in(self, project_id: str, seconds: float) -> float | Reply:
        """Have the credential signed in to a project: for how many seconds that is good, or what went wrong."""
        started = time.perf_counter()
        try:
            with anyio.fail_after(seconds):
                return math.inf if self._prepare is None else await self._prepare(project_id)
        except AuthenticationError as error:
            return replace(sign_in_reply(error), elapsed=time.perf_counter() - started)
        except TimeoutError:
            failed = SignInFailed(
                f"the sign-in was not answered within {seconds:g} s", verdict=Verdict.UNREACHABLE, timed_out=True
            )
            return replace(failed.reply, elapsed=seconds)
        except (aiohttp.ClientError, OSError) as error:
            return unreachable(error, time.perf_counter() - started, sent=False)

    async def greet(self, timeout: float, at_iam: bool = False) -> Reply:  # noqa: ASYNC109 - kept by `Deadlines`
        """One GET of the root of the endpoint, or of IAM, without the credential: who answers, and what time is it?

        Whatever the answer is, its verdict is `READ`; no answer within `timeout` seconds is `UNREACHABLE`. Raises
        `ConfigError` for IAM where no `iam_endpoint` was given.
        """
        site = self._iam_site() if at_iam else self._site
        started = time.perf_counter()
        try:
            with self._deadlines.after(timeout):
                response = await self._session.get(
                    URL(f"{site.endpoint}/", encoded=True), allow_redirects=False, proxy=site.proxy
                )
        except (aiohttp.ClientError, OSError) as error:
            return unreachable(error, time.perf_counter() - started)
        elapsed = time.perf_counter() - started
        response.release()
        date = parse_date(response.headers.get("Date"))
        return Reply(Verdict.READ, response.status, request_id=request_id(response), elapsed=elapsed, date=date)

    async def _reply(self, response: aiohttp.ClientResponse, elapsed: float, seconds: float) -> Reply:
        try:
            if 200 <= response.status < 300:
                return Reply(Verdict.DELETED, response.status, request_id=request_id(response), elapsed=elapsed)
            return read_reply(response, await self._read_some(response, seconds - elapsed), elapsed)
        finally:
            if not response.closed:  # without a body it has been given back already
                response.release()

    async def _read_page(self, response: aiohttp.ClientResponse) -> bytes | None:
        """The whole body of a page, if it is one."""
        if not 200 <= response.status < 300:
            return None
        body = bytearray()
        try:
            while chunk := await response.content.readany():
                body += chunk
                if len(body) > _MAX_PAGE:
                    raise aiohttp.ClientPayloadError(f"a page of more than {_MAX_PAGE >> 20} MiB")
        finally:
            if not response.closed:
                response.close()
        return bytes(body)

    async def _read_some(self, response: aiohttp.ClientResponse, seconds: float) -> bytes:
        """The first 64 KiB of an error body, or what of it came within the time."""
        body = bytearray()
        # The status line came, and it decides: a body cut off or too slow is not worth losing it for.
        with suppress(aiohttp.ClientError, OSError), self._deadlines.after(seconds):
            while len(body) < _MAX_ERROR_BODY and (chunk := await response.content.read(_MAX_ERROR_BODY - len(body))):
                body += chunk
        return bytes(body)


def _may_echo(text: str | None, headers: Mapping[str, str]) -> bool:
    """Whether a text may hold what one of the headers begins with; a first look, at every reply."""
    return text is not None and any(value[:8] in text for value in headers.values())
