"""Whole runs whose tokens end in the middle: revoked by the server, or over by their stated time."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping

import anyio
import pytest

from sdrs_async import KeystoneAuth, Limits, clean
from sdrs_async.credentials.keystone.tokens import Token, Tokens
from sdrs_async.engine.intake import sources
from sdrs_async.models import Call, Outcome, Reply, Request, Verdict
from sdrs_async.simulator import Simulator
from tests.support.engine_runs import engine_of
from tests.support.virtual_time import run_virtual
from tests.support.waiting import until

PROJECTS, GROUPS = 150, 8


class Watched(KeystoneAuth):
    """Notes for each project which tokens were refused, and `late`: those that went out once more after that."""

    refused: defaultdict[str, set[str]]
    late: list[str]

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        headers = await super().sign(request, project_id)
        if headers["X-Auth-Token"] in self.refused[project_id]:
            self.late.append(project_id)
        return headers

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        self.refused[project_id].add(headers["X-Auth-Token"])
        return super().invalidate(project_id, headers)


def auth_of(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The password of the simulator's account, by the variables of the environment."""
    for name, value in sim.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OS_TOKEN")
    auth = Watched.from_env()
    auth.refused, auth.late = defaultdict(set), []
    return auth


async def test_tokens_that_are_revoked_in_mid_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """150 projects whose tokens, good for 24 h by their word, are revoked: one more sign-in each, nothing lost.

    Once a project's first 401 has arrived, none of its new requests carries the old token.
    """
    revoked = anyio.Event()

    async def groups_of(groups: list[str]) -> AsyncIterator[str]:
        """Half of them, so that every project is signed in to; the rest when that is worth nothing any more."""
        for number, group in enumerate(groups):
            if number == len(groups) // 2:
                await revoked.wait()
            yield group

    async def revoke(sim: Simulator) -> None:
        await until(lambda: sum(entry.status == 204 for entry in sim.log) == PROJECTS * GROUPS // 2, 60)
        sim.revoke_tokens()
        revoked.set()

    async with Simulator(projects=PROJECTS, groups=GROUPS) as sim, anyio.create_task_group() as tasks:
        auth = auth_of(sim, monkeypatch)
        fleet: dict[str, list[str]] = defaultdict(list)
        for project_id, group_id in sim.targets:
            fleet[project_id].append(group_id)
        tasks.start_soon(revoke, sim)
        targets = {project_id: groups_of(groups) for project_id, groups in fleet.items()}
        report = await clean(targets, endpoint=sim.url, auth=auth, limits=Limits(None, 8, None, None, 64))
        assert report.targets["done"] == PROJECTS * GROUPS
        assert sim.remaining == 0
        assert report.exit_code == 0
        sign_ins = Counter(entry.project_id for entry in sim.log if entry.route == "create_token")
        assert {project: sign_ins[project] for project in fleet} == dict.fromkeys(fleet, 2)
        assert {len(auth.refused[project]) for project in fleet} == {1}
        assert auth.late == []


def test_tokens_that_end_by_their_word_are_never_refused() -> None:
    """Tokens of ten minutes in a run of two hours are renewed before they end: not one 401, a sign-in per 8 minutes."""
    good: dict[str, float] = {}
    sign_ins: Counter[str] = Counter()
    statuses: Counter[int | None] = Counter()
    outcomes: list[Outcome] = []

    async def main() -> float:
        loop = asyncio.get_running_loop()

        async def ask(project_id: str, base: Token | None) -> Token:
            await asyncio.sleep(0.3)
            sign_ins[project_id] += 1
            number = f"{project_id}-{sign_ins[project_id]}"
            good[number] = loop.time() + 600
            return Token({"X-Auth-Token": number}, life=600)

        tokens = Tokens(ask, clock=loop.time)

        async def sign_in(project_id: str, timeout: float) -> float | Reply:  # noqa: ASYNC109
            return tokens.left(await tokens.get(project_id))

        async def send(call: Call, timeout: float) -> Reply:  # noqa: ASYNC109
            token = (await tokens.get(call.project_id)).headers["X-Auth-Token"]
            await asyncio.sleep(0.02)
            reply = Reply(Verdict.DELETED, 204) if loop.time() < good[token] else Reply(Verdict.UNAUTHORIZED, 401)
            statuses[reply.status_code] += 1
            return reply

        engine, user = engine_of(send, outcomes.append, Limits("1/10s", 8, None, None, 64), sign_in=sign_in)
        await engine.run(sources({f"p{p}": [f"g{g}" for g in range(720)] for p in range(5)}, 10_000, user))
        return loop.time()

    seconds = run_virtual(main())
    assert seconds > 7000
    assert statuses == {204: 5 * 720}
    assert all(count == round(seconds / 480) for project, count in sign_ins.items() if project)
