"""The server itself: takes a request, logs it, lets it in or not, does the work and answers; or lets it fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from aiohttp import web

from sdrs_async.simulator import log
from sdrs_async.simulator.access import Access
from sdrs_async.simulator.account import Account, Agency, ApplicationCredential, Key
from sdrs_async.simulator.answers import Answer, gateway_error
from sdrs_async.simulator.delivery import Latency, close, deliver, path_and_query, response
from sdrs_async.simulator.faults import Fault, Faults
from sdrs_async.simulator.gate import Gate
from sdrs_async.simulator.iam import Iam
from sdrs_async.simulator.ids import digest
from sdrs_async.simulator.inspection import PREFIX, Inspection
from sdrs_async.simulator.limits import Limiter, hidden_text, policy_text, threshold_text
from sdrs_async.simulator.log import Entry
from sdrs_async.simulator.paging import Paging
from sdrs_async.simulator.projects import REGION, Projects
from sdrs_async.simulator.routes import SDRS_ROUTES, UNKNOWN, Call, call_of
from sdrs_async.simulator.sdrs import Sdrs
from sdrs_async.simulator.signature import SignedRequest
from sdrs_async.simulator.state import Fleet

# A fleet connects all at once; the kernel lowers this to what it allows.
_BACKLOG = 4096


class Simulator:
    """An SDRS (below `/v1`) and IAM (below `/v3`) server on a socket of this process, while `async with` lasts.

    `projects`, `groups` per project, `failed_tasks` per group and in each project's own layer: the fleet it holds; ids
    and credentials follow from `seed`. `latency`: seconds from arrival to answer, and a random part of up to
    `jitter` seconds on top, drawn from the seed in order of arrival. `project_rate`, `user_rate`,
    `address_rate`, `endpoint_rate`: limits like `50/s` or `200/5min`, `None` for none, kept per SDRS request in windows
    that are `sliding` or `fixed`, or in a token `bucket`; `iam_rate`: the same for the IAM requests of one source
    address; `count_refused`: what is refused takes room in them too; `hidden`: the gateway's refusals do not tell the
    limit. `token_life`: seconds that a token is good which was bought by a sign-in. `clock`:
    the server's time in POSIX seconds, for tokens, signatures and the Date of its answers. `decoys`: IAM also lists
    what has no groups here (a disabled project, the domain, `MOS`, two projects of another region). `quirks`: what is
    wrong with its lists, see `Paging`. `faults`: what goes wrong. `host` and `port`: where to listen, 0 for any free
    port. Raises `ValueError` for values out of range, `OSError` on entering when it cannot listen.

    A request passes in this order: log, credential, limits (those of IAM before the credential), faults, work. The work
    is done at arrival, the answer given after the latency; only what the limits admit counts as an arrival for the
    faults, so that they repeat.

    For other processes, without a credential and not logged: what `Inspection` answers.
    """

    def __init__(
        self,
        *,
        projects: int = 3,
        groups: int = 4,
        failed_tasks: int = 2,
        seed: int = 0,
        latency: float = 0.0,
        jitter: float = 0.0,
        project_rate: str | None = None,
        user_rate: str | None = None,
        address_rate: str | None = None,
        endpoint_rate: str | None = None,
        window: str = "sliding",
        iam_rate: str | None = None,
        count_refused: bool = False,
        hidden: bool = False,
        token_life: float = 86400.0,
        clock: Callable[[], float] = time.time,
        decoys: bool = False,
        quirks: Collection[str] = (),
        faults: Collection[Fault] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.log: list[Entry] = []
        self._fleet = Fleet(projects, groups, failed_tasks, seed)
        self._limiter = Limiter(
            project=project_rate, user=user_rate, address=address_rate, endpoint=endpoint_rate, window=window,
            count_refused=count_refused, text=hidden_text if hidden else policy_text,
        )  # fmt: skip
        self._iam_limiter = Limiter(address=iam_rate, window=window, count_refused=count_refused, text=threshold_text)
        self._faults = Faults(faults, seed, self._limiter.first_policy, self._iam_limiter.first_policy)
        self._access = Access(Account.from_seed(seed), seed, token_life, clock)
        projects_of_iam = Projects(self._fleet, self._access.account, seed, decoys=decoys)
        self._gate = Gate(self._access, projects_of_iam, self._limiter, self._iam_limiter)
        self._sdrs = Sdrs(self._fleet, Paging(quirks))
        self._iam = Iam(self._access, projects_of_iam)
        self._arrivals = 0
        self._revocations: set[int] = set()
        self._latency = Latency(latency, jitter, seed)
        self._inspection = Inspection(self)
        self._address = (host, port)
        self._request_prefix = digest(seed, "requests", 10)
        self._requests = 0
        self._stack = AsyncExitStack()

    # ---- what it is and holds ----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it is reached, without a path; empty before it was entered for the first time."""
        return self._iam.url

    @property
    def token(self) -> str:
        """A token that is good for every project, for ever unless it is revoked."""
        return self._access.tokens.everywhere.text

    @property
    def temporary_key(self) -> Key:
        """A second access key, with the security token that its requests must carry."""
        return self._access.account.temporary_key

    @property
    def application_credential(self) -> ApplicationCredential:
        """What an application signs in with; bound to the first project."""
        return self._access.account.application_credential

    @property
    def agency(self) -> Agency:
        """What can be assumed with any token of the account."""
        return self._access.account.agency

    @property
    def locked_keys(self) -> list[str]:
        """The ids of the access keys that are locked now, after too many wrong signatures."""
        return self._access.keys.locked

    @property
    def targets(self) -> list[tuple[str, str]]:
        """All pairs of project id and protection group id, in order."""
        return self._fleet.targets

    @property
    def remaining(self) -> int:
        """How many failed tasks there are inside groups, over all projects."""
        return self._fleet.remaining

    def failed_tasks(self, project_id: str, server_group_id: str | None = None) -> int:
        """How many failed tasks there are inside one group, or with `None` in the project's own layer.

        Raises `LookupError` when there is no such group or project.
        """
        project = self._fleet.project(project_id)
        cell = None if project is None else self._fleet.cell(project, server_group_id)
        if cell is None:
            raise LookupError(f"there is no group {server_group_id} in a project {project_id}")
        return len(self._fleet.jobs(cell))

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with working credentials of each kind: token, password, access key."""
        account = self._access.account
        return {
            "OS_AUTH_URL": f"{self.url}/v3",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_REGION_NAME": REGION,
            "OS_USERNAME": account.user,
            "OS_PASSWORD": account.password,
            "OS_USER_DOMAIN_NAME": account.domain,
            "OS_PROJECT_DOMAIN_NAME": account.domain,
            "OS_TOKEN": self.token,
            "HUAWEICLOUD_SDK_AK": account.key.access_key,
            "HUAWEICLOUD_SDK_SK": account.key.secret_key,
            "HUAWEICLOUD_SDK_IAM_ENDPOINT": self.url,
            f"HUAWEICLOUD_SDK_REGION_SDRS_{REGION.upper().replace('-', '_')}": self.url,
        }

    def most_in_window(self, per: float, route: str | None = None, by: str = "project_id") -> int:
        """The most arrivals in any window of `per` seconds; see `sdrs_async.simulator.log.most_in_window`."""
        return log.most_in_window(self.log, per, route, by)

    def revoke_tokens(self, project_id: str | None = None, *, everywhere: bool = False) -> None:
        """Void the tokens that were issued until now: those of one project or of all; `everywhere`: `token` as well."""
        self._access.tokens.revoke(project_id, everywhere=everywhere)

    def revoke_when(self, arrivals: int) -> None:
        """Void all tokens issued until then once so many more SDRS requests have arrived, the last of them included.

        `ValueError` for less than 1.
        """
        if arrivals < 1:
            raise ValueError(f"revoke_when takes 1 arrival or more, not {arrivals}")
        self._revocations.add(self._arrivals + arrivals)

    def change_limits(self, **rates: str | None) -> None:
        """Other limits from now on: a rate, or `None` for none, for `project`, `user`, `address` or `endpoint`.

        What was counted stays counted. `ValueError` for anything else.
        """
        self._limiter.change(**rates)

    def reset(self) -> None:
        """All failed tasks are there again; log, windows, locks and faults start afresh, and nothing is to be revoked.

        Tokens stay as they are, and so do limits that were changed.
        """
        self._fleet.restore()
        for kept in (self._limiter, self._iam_limiter, self._faults, self._access.keys, self._latency):
            kept.forget()
        self._revocations.clear()
        self.log.clear()

    # ---- starting and stopping ---------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        host, port = self._address
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        async with AsyncExitStack() as stack:
            runner = web.ServerRunner(server)
            await runner.setup()
            stack.push_async_callback(close, runner, server)
            site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
            await site.start()
            self._iam.url = f"http://{f'[{host}]' if ':' in host else host}:{site.port}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # ---- one request -------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        at = time.monotonic()
        path, query = path_and_query(request.raw_path)
        self._requests += 1
        request_id = f"{self._request_prefix}{self._requests:012x}"
        if path.startswith(PREFIX):
            answer = self._inspection.answer(f"{request.method} {path}", query)
            return response(answer, request_id, self._access.clock())
        call = call_of(request.method, path)
        if call.route == "list_failures":
            call = call._replace(server_group_id=dict(parse_qsl(query)).get("server_group_id"))
        entry = Entry(at, request.method, path, query, call.route, call.project_id, call.server_group_id, request_id)
        self.log.append(entry)
        self._revoke_in_time(call)
        answer = await self._answer(request, call, entry)
        await deliver(request, answer, at + self._latency.draw() + answer.delay)
        entry.status, entry.answered_at = answer.status, time.monotonic()
        return response(answer, request_id, self._access.clock())

    def _revoke_in_time(self, call: Call) -> None:
        self._arrivals += call.route in SDRS_ROUTES
        if self._arrivals in self._revocations:
            self._revocations.remove(self._arrivals)
            self.revoke_tokens()

    async def _answer(self, request: web.BaseRequest, call: Call, entry: Entry) -> Answer:
        if call.route == UNKNOWN:
            return gateway_error(404, "0101", "The API does not exist or has not been published", entry.request_id)
        received = SignedRequest(request.method, entry.path, entry.query, request.headers, await request.read())
        if call.route == "create_token":
            call = call._replace(project_id=self._iam.sign_ins.project_of(received.body))
            entry.project_id = call.project_id
        refused = self._gate.refusal(call, received, entry, request.remote or "")
        if refused is not None:
            return refused
        fault = self._faults.draw(call)
        if fault is None:
            return self._work(call, received)
        entry.fault = fault.kind
        return self._faults.answer(fault, call, entry.request_id, lambda: self._work(call, received))

    def _work(self, call: Call, received: SignedRequest) -> Answer:
        if call.route in SDRS_ROUTES:
            return self._sdrs.answer(call, received.query)
        return self._iam.answer(call, received)
