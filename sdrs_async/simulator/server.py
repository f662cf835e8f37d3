"""The server itself: takes a request, logs it, lets it in or not, does the work and answers; or lets it fail."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from aiohttp import web

from sdrs_async.simulator import log
from sdrs_async.simulator.access import Access, Account
from sdrs_async.simulator.answers import Answer, document, gateway_error, iam_error, throttled
from sdrs_async.simulator.delivery import close, deliver, path_and_query, response
from sdrs_async.simulator.faults import Fault, Faults
from sdrs_async.simulator.iam import REGION, Iam
from sdrs_async.simulator.ids import digest
from sdrs_async.simulator.limits import Limiter
from sdrs_async.simulator.log import Entry
from sdrs_async.simulator.routes import OPEN_ROUTES, SDRS_ROUTES, UNKNOWN, Call, call_of
from sdrs_async.simulator.sdrs import Sdrs
from sdrs_async.simulator.state import Fleet

__all__ = ["Simulator"]

_INSPECTION = "/simulator/"
# A fleet connects all at once; the kernel lowers this to what it allows.
_BACKLOG = 4096


class Simulator:
    """An SDRS (below `/v1`) and IAM (below `/v3`) server on a socket of this process, while `async with` lasts.

    `projects`, `groups` per project, `failed_tasks` per group and in each project's own layer: the fleet it holds; ids
    and credentials follow from `seed`. `latency`: seconds from arrival to answer. `project_rate`, `user_rate`,
    `endpoint_rate`: limits like `50/s` or `200/5min`, `None` for none, kept per SDRS request in windows that are
    `sliding` or `fixed`; `count_refused`: what is refused takes room in them too. `faults`: what goes wrong. `host` and
    `port`: where to listen, 0 for any free port. Raises `ValueError` for values out of range, `OSError` on entering
    when it cannot listen.

    A request passes in this order: log, credential, limits, faults, work. The work is done at arrival, the answer given
    after the latency; only what the limits admit counts as an arrival for the faults, so that they repeat.

    For other processes, without a credential and not logged: GET `/simulator/log` (JSON Lines), GET
    `/simulator/summary` (`per`, `by`, `route` as in `most_in_window`), POST `/simulator/reset`.
    """

    def __init__(
        self,
        *,
        projects: int = 3,
        groups: int = 4,
        failed_tasks: int = 2,
        seed: int = 0,
        latency: float = 0.0,
        project_rate: str | None = None,
        user_rate: str | None = None,
        endpoint_rate: str | None = None,
        window: str = "sliding",
        count_refused: bool = False,
        faults: Collection[Fault] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.log: list[Entry] = []
        self._fleet = Fleet(projects, groups, failed_tasks, seed)
        self._limiter = Limiter(
            project=project_rate, user=user_rate, endpoint=endpoint_rate, window=window, count_refused=count_refused
        )
        self._faults = Faults(faults, seed, self._limiter.first_policy)
        self._access = Access(Account.from_seed(seed), seed)
        self._sdrs = Sdrs(self._fleet)
        self._iam = Iam(self._access, self._fleet)
        self._latency = latency
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
        """A token that is good for every project."""
        return self._access.token

    @property
    def targets(self) -> list[tuple[str, str]]:
        """All pairs of project id and protection group id, in order."""
        return self._fleet.targets

    @property
    def remaining(self) -> int:
        """How many failed tasks there are inside groups, over all projects."""
        return self._fleet.remaining

    def failed_tasks(self, project_id: str, server_group_id: str) -> int:
        """How many failed tasks there are inside one group. Raises `LookupError` when there is no such group."""
        project = self._fleet.project(project_id)
        cell = None if project is None else self._fleet.group(project, server_group_id)
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
            "HUAWEICLOUD_SDK_AK": account.access_key,
            "HUAWEICLOUD_SDK_SK": account.secret_key,
            "HUAWEICLOUD_SDK_IAM_ENDPOINT": self.url,
            f"HUAWEICLOUD_SDK_REGION_SDRS_{REGION.upper().replace('-', '_')}": self.url,
        }

    def most_in_window(self, per: float, route: str | None = None, by: str = "project_id") -> int:
        """The most arrivals in any window of `per` seconds; see `sdrs_async.simulator.log.most_in_window`."""
        return log.most_in_window(self.log, per, route, by)

    def reset(self) -> None:
        """All failed tasks are there again; log, limits and faults start afresh. Tokens stay good."""
        self._fleet.restore()
        self._limiter.forget()
        self._faults.forget()
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
        if path.startswith(_INSPECTION):
            return response(self._inspect(f"{request.method} {path}", query), request_id)
        call = call_of(request.method, path)
        if call.route == "list_failures":
            call = call._replace(server_group_id=dict(parse_qsl(query)).get("server_group_id"))
        entry = Entry(at, request.method, path, query, call.route, call.project_id, call.server_group_id, request_id)
        self.log.append(entry)
        answer = await self._answer(request, call, entry)
        await deliver(request, answer, at + self._latency + answer.delay)
        entry.status = answer.status
        return response(answer, request_id)

    async def _answer(self, request: web.BaseRequest, call: Call, entry: Entry) -> Answer:
        if call.route == UNKNOWN:
            return gateway_error(404, "0101", "The API does not exist or has not been published", entry.request_id)
        if call.route not in OPEN_ROUTES:
            entry.user, reason = await self._access.user_of(request, entry.path, entry.query)
            if entry.user is None:
                return _unauthorized(call, reason, entry.request_id)
        if call.route in SDRS_ROUTES:
            policy = self._limiter.refuse(entry.at, call.project_id or "", entry.user or "")
            if policy is not None:
                return throttled(policy, entry.request_id)
        body = await request.read() if call.route == "create_token" else b""
        fault = self._faults.draw(call)
        if fault is None:
            return self._work(call, entry.query, body)
        entry.fault = fault.kind
        return self._faults.answer(fault, call, entry.request_id, lambda: self._work(call, entry.query, body))

    def _work(self, call: Call, query: str, body: bytes) -> Answer:
        return self._sdrs.answer(call, query) if call.route in SDRS_ROUTES else self._iam.answer(call, query, body)

    def _inspect(self, call: str, query: str) -> Answer:
        match call:
            case "GET /simulator/log":
                lines = "".join(log.json_lines(self.log))
                return Answer(200, lines.encode(), {"Content-Type": "application/jsonl"})
            case "GET /simulator/summary":
                return self._summary(dict(parse_qsl(query)))
            case "POST /simulator/reset":
                self.reset()
                return Answer(204)
        return document({"error": "there are /simulator/log, /simulator/summary and POST /simulator/reset"}, 404)

    def _summary(self, wanted: dict[str, str]) -> Answer:
        try:
            per = float(wanted.get("per", "1"))
            counts = log.summary(self.log, per, wanted.get("route"), wanted.get("by", "project_id"))
        except ValueError as error:
            return document({"error": str(error)}, 400)
        return document({**counts, "remaining": self.remaining})


def _unauthorized(call: Call, reason: str, request_id: str) -> Answer:
    if call.route in SDRS_ROUTES:
        return gateway_error(401, "0301", f"Incorrect IAM authentication information: {reason}", request_id)
    return iam_error(401, f"The request you have made requires authentication: {reason}")
