"""A cleanup inside an aiohttp web application: one handler starts it, another one serves its progress.

    POST /cleanups        starts a cleanup, answers with its id
    GET  /cleanups/{id}   answers with its counts so far, and with the whole report when it is done

Runs offline: it starts the simulator and the application, and then plays the user. The cleanups belong to a task group
of the application, so that stopping it cancels them and leaves nothing behind.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import anyio
import anyio.abc
from aiohttp import web

from sdrs_async import Limits, Run, SdrsError, StaticToken, stream
from sdrs_async.simulator import Simulator

CLOUD = web.AppKey("cloud", Simulator)
RUNS: web.AppKey[dict[str, Run]] = web.AppKey("runs", dict)
TASKS = web.AppKey("tasks", anyio.abc.TaskGroup)
FAILED: web.AppKey[dict[str, str]] = web.AppKey("failed", dict)


async def cleanups(app: web.Application) -> AsyncIterator[None]:
    """Own the cleanups for as long as the application lives."""
    async with anyio.create_task_group() as app[TASKS]:
        yield
        app[TASKS].cancel_scope.cancel()


async def start(request: web.Request) -> web.Response:
    """Start a cleanup of the whole fleet."""
    app = request.app
    started = await app[TASKS].start(work, app, app[CLOUD].targets)
    return web.json_response({"id": started}, status=202)


async def work(
    app: web.Application, targets: Iterable[tuple[str, str]], *, task_status: anyio.abc.TaskStatus[str]
) -> None:
    """One cleanup; what would go to a database or a log goes through the loop's body."""
    cloud = app[CLOUD]
    async with stream(
        targets, endpoint=cloud.url, auth=StaticToken(cloud.token), limits=Limits(project_rate="25/s")
    ) as run:
        app[RUNS][run.report.run_id] = run
        task_status.started(run.report.run_id)
        try:
            async for outcome in run:
                if outcome.verdict not in ("deleted", "gone"):
                    print("failed:", outcome.target, outcome.message)
        except SdrsError as error:  # no account could sign in, say: the application lives on, and its user is told
            app[FAILED][run.report.run_id] = str(error)


async def progress(request: web.Request) -> web.Response:
    """The counts of a cleanup, live."""
    run = request.app[RUNS].get(request.match_info["id"])
    if run is None:
        raise web.HTTPNotFound
    error = request.app[FAILED].get(run.report.run_id)
    return web.json_response({**run.report.to_dict(), "error": error})


def application(cloud: Simulator) -> web.Application:
    """The application; a real one would have its endpoint and credential in place of the simulator."""
    app = web.Application()
    app[CLOUD], app[RUNS], app[FAILED] = cloud, {}, {}
    app.cleanup_ctx.append(cleanups)
    app.add_routes([web.post("/cleanups", start), web.get("/cleanups/{id}", progress)])
    return app


async def use(url: str, total: int) -> None:
    """Play the user: start a cleanup and ask for its progress until all is done."""
    async with aiohttp.ClientSession(url) as session:
        async with session.post("/cleanups") as answer:
            started: dict[str, Any] = await answer.json()
        done = 0
        while done < total:
            await asyncio.sleep(0.3)
            async with session.get(f"/cleanups/{started['id']}") as answer:
                report: dict[str, Any] = await answer.json()
            done = report["targets"]["planned"]
            print(f"{done} of {total} groups, {report['requests']['sent']} requests, error: {report['error']}")


async def main() -> None:
    """Simulator, application and user in one process."""
    async with Simulator(projects=4, groups=30, latency=0.02) as cloud:
        runner = web.AppRunner(application(cloud))
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            await use(f"http://{host}:{port}", len(cloud.targets))
        finally:
            await runner.cleanup()
        print("left on the server:", cloud.remaining)


if __name__ == "__main__":
    asyncio.run(main())
