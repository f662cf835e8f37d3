"""The wire: one `send` is one request and one classified reply. The only client-side code that sends requests."""

from __future__ import annotations

import logging
import math
import re
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

import aiohttp
import anyio
from yarl import URL

from sdrs_async.auth import Auth, SignInFailed, Traits
from sdrs_async.cloud import events
from sdrs_async.cloud.answers import parse_date
from sdrs_async.cloud.calls import path_of
from sdrs_async.cloud.replies import (
    read_deleted,
    read_page,
    read_reply,
    request_id,
    sign_in_reply,
    unreachable,
    without_secrets,
)
from sdrs_async.cloud.sites import Site
from sdrs_async.errors import AuthenticationError, ConfigError
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Call, Listing, Reply, Request, Verdict
from sdrs_async.transport.bodies import Piece, Unreadable, encoding_of, read_whole, unpacked
from sdrs_async.transport.connections import Connections
from sdrs_async.transport.deadlines import Deadlines
from sdrs_async.transport.heads import LONGEST, MOST_FIELDS
from sdrs_async.transport.threads import Lookups
from sdrs_async.transport.trust import trusted

log = logging.getLogger("sdrs_async")

_MAX_BODY = 64 * 1024
_MAX_PAGE = 8 * 1024 * 1024
_CONNECT_TIMEOUT = 10.0


class Client:
    """One aiohttp session for one run, used as an async context manager.

    The connection pool is as large as `limits.concurrency`, so that no request waits for a connection inside its own
    time. Certificates are checked with `ca_file`, or else with what the credential's own configuration says
    (`Auth.verify`), the environment, or the system. Proxies come from the environment, netrc never. `iam_endpoint`:
    where projects are listed. `site` and `iam`: the two, taken apart; `traits`: of the credential.
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
        self.site = Site(endpoint, allow_http=allow_http)
        self.iam = Site(iam_endpoint, allow_http=allow_http) if iam_endpoint else None
        self.traits = Traits.of(auth)
        self._pool = limits.concurrency or 0
        # The total time, reading included, is kept by `Deadlines`: aiohttp's own costs a timer per request.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(_CONNECT_TIMEOUT, retry.timeout))
        self._tls = self._certificates(ca_file, self.traits.verify)

    def _certificates(self, ca_file: str | None, verify: bool | str) -> ssl.SSLContext | bool:
        hops = [url for site in (self.site, self.iam) if site is not None for url in (site.base, site.proxy)]
        if not any(url is not None and url.scheme == "https" for url in hops):
            return True
        trust = trusted(ca_file, verify)
        if not trust.checked:
            log.warning("certificates are NOT checked (verify: false): anybody on the way can read the credential")
            return False
        return trust.context()

    async def __aenter__(self) -> Self:
        self._deadlines = Deadlines()
        seconds = self._timeout.sock_connect or _CONNECT_TIMEOUT
        connector = Connections(limit=self._pool, ssl=self._tls, resolver=Lookups(seconds))
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            # Nothing packed is asked for, and what comes packed all the same is unpacked within bounds (`bodies`).
            headers={"User-Agent": "sdrs-async", "Accept-Encoding": "identity"},
            auto_decompress=False,
            # aiohttp's own reading of the environment (trust_env) would also send what ~/.netrc holds.
            trust_env=False,
            max_line_size=LONGEST,
            max_field_size=LONGEST,
            max_headers=MOST_FIELDS,
        )
        # aiohttp sends a DELETE a second time by itself when a kept-alive connection closes. That breaks the pacing's
        # proof and the count of tries, and a signature may be too old by then. There is no public switch (aiohttp
        # client.py, `retry_persistent_connection`); tests/cloud/test_client.py counts arrivals, to notice a change.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        self._deadlines.close()
        await self._session.close()

    async def send(self, call: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - kept by `Deadlines`
        """One request, one reply: delete a target's failed tasks, or read one page of a list.

        `timeout` is in seconds, signing included. What a server or network does is data; `ConfigError` only for an id
        that is refused, for a list of IAM where no `iam_endpoint` was given, and for an `Auth` that signs with what
        cannot be sent. What else its `sign` raises comes out as it is.
        """
        request, url, site = self._request(call)
        started = time.perf_counter()
        headers: Mapping[str, str] | None = None
        try:
            with self._deadlines.after(timeout):
                signed = await self.traits.sign(request, call.project_id)
                if not isinstance(signed, Mapping):
                    raise self._misused("sign", f"{type(signed).__name__}, not a mapping of header names to values")
                headers = signed
                response = await self._answer(request.method, url, site, headers)
                elapsed = time.perf_counter() - started
                page = await self._read_page(response) if request.method == "GET" else None
        except AuthenticationError as error:
            return self._without_secrets(sign_in_reply(error), {}, site)
        except (aiohttp.ClientError, OSError) as error:
            reply = unreachable(error, time.perf_counter() - started, sent=headers is not None)
        else:
            read = self._reply(response, elapsed, timeout) if page is None else read_page(response, page, elapsed)
            reply = await read
        if reply.message or reply.error_code or reply.request_id:
            reply = self._without_secrets(reply, headers or {}, site)
        if reply.verdict is Verdict.UNAUTHORIZED and not self.traits.auth.invalidate(call.project_id, headers or {}):
            reply = replace(reply, retryable=False)
        if log.isEnabledFor(logging.DEBUG):
            # The query of a further page of IAM is the server's word, and may be anything that it was sent.
            shown = request.url.partition("?")[0] if isinstance(call, Listing) and call.at_iam else request.url
            log.debug(
                "%s %s -> %s %s in %.0f ms, request id %s",
                request.method, shown, reply.status_code, reply.verdict, reply.elapsed * 1000, reply.request_id,
            )  # fmt: skip
        return reply

    def _misused(self, method: str, returned: str) -> ConfigError:
        return ConfigError(f"{type(self.traits.auth).__name__}.{method} returned {returned}")

    async def _answer(self, method: str, url: URL, site: Site, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The answer to one request. The proxy's credential goes beside its own in plain http, else in the CONNECT."""
        sent = {**headers, **site.proxy_headers} if site.proxy_headers and not site.is_https else headers
        try:
            return await self._session.request(
                method, url, headers=sent, allow_redirects=False, proxy=site.proxy, proxy_headers=site.proxy_headers
            )
        except aiohttp.ClientError:
            raise
        except (TypeError, ValueError):
            if (wrong := _unsendable(headers)) is None:
                raise
        # Outside of `except`, so that nothing leads to aiohttp's error: its text may be the credential.
        raise self._misused("sign", wrong)

    def _without_secrets(self, reply: Reply, headers: Mapping[str, str], site: Site) -> Reply:
        sent = {**headers, **site.proxy_headers} if site.proxy_headers else headers
        return without_secrets(reply, sent, self.traits.secrets)

    def _request(self, call: Call) -> tuple[Request, URL, Site]:
        """What to sign, the same URL as aiohttp takes it (not parsed again: that costs 2 microseconds), and where."""
        path = path_of(call)
        if not isinstance(call, Listing):
            site = self.site
            request = Request("DELETE", site.endpoint + path, {}, site.host, site.root + path)
            return request, site.base.with_path(request.path, encoded=True), site
        site = self._iam_site() if call.at_iam else self.site
        url = f"{site.endpoint}{path}{'?' if call.query else ''}{call.query}"
        request = Request("GET", url, host=site.host, path=site.root + path, query=call.query)
        return request, URL(url, encoded=True), site

    def _iam_site(self) -> Site:
        if self.iam is None:
            raise ConfigError("the projects are listed by IAM: give its endpoint (iam_endpoint, --iam-endpoint)")
        return self.iam

    async def sign_in(self, project_id: str, seconds: float) -> float | Reply:
        """Sign in to a project: for how many seconds that is good, or what went wrong. `ConfigError` for no number."""
        result = await self._prepared(project_id, seconds)
        if not self.traits.counts_itself:
            self.traits.counts.ask()
            if isinstance(result, Reply):
                self.traits.counts.fail(result.verdict)
                events.sign_in_failed(project_id, self.traits.counts.account, result)
            else:
                events.signed_in(project_id, self.traits.counts.account, result)
        return result

    async def _prepared(self, project_id: str, seconds: float) -> float | Reply:
        started = time.perf_counter()
        try:
            with anyio.fail_after(seconds):
                good = math.inf if self.traits.prepare is None else await self.traits.prepare(project_id)
        except AuthenticationError as error:
            reply = self._without_secrets(sign_in_reply(error), {}, self.site)
            return replace(reply, elapsed=time.perf_counter() - started)
        except TimeoutError:
            text = f"the sign-in was not answered within {seconds:g} s"
            failed = SignInFailed(text, verdict=Verdict.UNREACHABLE, timed_out=True)
            if self.traits.counts_itself:  # and did not see this one's end
                events.sign_in_failed(project_id, self.traits.counts.account, failed.reply)
            return replace(failed.reply, elapsed=seconds)
        except (aiohttp.ClientError, OSError) as error:
            return self._without_secrets(unreachable(error, time.perf_counter() - started, sent=False), {}, self.site)
        if isinstance(good, int | float) and good == good:  # noqa: PLR0124 - only NaN is not itself
            return good
        raise self._misused("prepare", f"{type(good).__name__}, not a number of seconds")

    async def greet(self, timeout: float, at_iam: bool = False) -> Reply:  # noqa: ASYNC109 - kept by `Deadlines`
        """One GET of the root of the endpoint, or of IAM, without the credential: who answers, and what time is it?

        `READ` for any answer, `UNREACHABLE` for none within `timeout` seconds. `ConfigError` without an `iam_endpoint`.
        """
        site = self._iam_site() if at_iam else self.site
        started = time.perf_counter()
        try:
            with self._deadlines.after(timeout):
                response = await self._answer("GET", URL(f"{site.endpoint}/", encoded=True), site, {})
        except (aiohttp.ClientError, OSError) as error:
            return self._without_secrets(unreachable(error, time.perf_counter() - started), {}, site)
        elapsed = time.perf_counter() - started
        response.release()
        date = parse_date(response.headers.get("Date"))
        reply = Reply(Verdict.READ, response.status, request_id=request_id(response), elapsed=elapsed, date=date)
        return self._without_secrets(reply, {}, site)

    async def _reply(self, response: aiohttp.ClientResponse, elapsed: float, seconds: float) -> Reply:
        try:
            if response.status == 204:  # it has no body
                return Reply(Verdict.DELETED, 204, request_id=request_id(response), elapsed=elapsed)
            body = await self._read_some(response, seconds - elapsed)
            read = read_deleted if 200 <= response.status < 300 else read_reply
            return read(response, body, elapsed)
        finally:
            if not response.closed:  # without a body it has been given back already
                response.release()

    async def _read_page(self, response: aiohttp.ClientResponse) -> bytes | Unreadable | None:
        """The whole body of a page, if it is one, or why it cannot be read."""
        if not 200 <= response.status < 300:
            return None
        try:
            return await read_whole(response, _MAX_PAGE)
        except Unreadable as error:
            return error
        finally:
            if not response.closed:
                response.close()

    async def _read_some(self, response: aiohttp.ClientResponse, seconds: float) -> Piece:
        """The first 64 KiB of a body that is no list, or what of it came within the time."""
        body, most, is_whole = bytearray(), _MAX_BODY, False
        # The status line came, and it decides: a body cut off or too slow is not worth losing it for.
        with suppress(aiohttp.ClientError, OSError), self._deadlines.after(seconds):
            while len(body) < most and (chunk := await response.content.read(most - len(body))):
                body += chunk
            is_whole = len(body) < most
        try:
            return Piece((await unpacked(bytes(body), encoding_of(response), most))[:most], is_whole)
        except Unreadable as error:
            return Piece(b"", is_whole, str(error))


def _unsendable(headers: Mapping[Any, Any]) -> str | None:
    """What is wrong with the first header that cannot be sent; its value is not shown."""
    for name, value in headers.items():
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name, re.ASCII):
            return "a header whose name is none"
        if not isinstance(value, str):
            return f"{type(value).__name__} as the value of the header {name}, where a str is needed"
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            return f"a value of the header {name} that has a line break or another control character in it"
    return None
