"""What a cleanup would do, read only: it is found and shown; nothing is ever deleted here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TextIO
from urllib.parse import urlsplit

from sdrs_async.accounts.account import Pending
from sdrs_async.accounts.connecting import Connected, Connection, note_lost
from sdrs_async.cleanup.plan import LATENCY, Plan
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.documents import Document
from sdrs_async.command.finding import Display, connected, find, warn_of_nothing
from sdrs_async.command.inputs import Wanted
from sdrs_async.command.screen import Screen
from sdrs_async.command.signals import Interrupts, interrupts
from sdrs_async.command.simulating import Simulation, simulate, simulation_json, simulation_parts
from sdrs_async.command.streams import STDOUT, to_stdout
from sdrs_async.formats.plan_text import extent, floor_words, groups_of, plan_parts
from sdrs_async.formats.wording import printable
from sdrs_async.pace.floor import Floor, Scopes
from sdrs_async.session import connect


class Planning:
    """Find out what is wanted, targets or what to look for by the accounts' names, and show it.

    `gateways`: simulate it besides, against these, or without any against the configured limits.
    """

    def __init__(
        self,
        connection: Connection,
        wanted: Wanted,
        *,
        title: str,
        json_file: str | None = None,
        quiet: bool = False,
        gateways: Sequence[str] | None = None,
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._title = title
        self._json = json_file
        self._gateways = gateways
        self._display = Display(quiet)

    async def run(self) -> int:
        """Do it, once; the exit code. A signal ends it early, and what is known by then is shown.

        Raises `AuthenticationError` when no account could sign in, and `ConfigError`.
        """
        async with interrupts() as told, AsyncExitStack() as stack:
            file = None if self._json is None else stack.enter_context(Document("--json", self._json))
            ready = await connected(self._connection, self._wanted, told, self._display)
            if ready is None:
                return 128 + (told.first or 0)
            plan = await self._plan(ready, told, stack)
            note_lost(plan.report, ready.lost)
            simulation = await self._simulate(plan, told)
            if file is not None:
                file.save(partial(self._write, plan, simulation), () if self._json == STDOUT else told.numbers)
                if self._json != STDOUT:
                    self._display.note(f"wrote {self._json}")
            self._show(plan, simulation)
            return plan.report.exit_code if told.first is None else 128 + told.first

    async def _plan(self, ready: Connected, told: Interrupts, stack: AsyncExitStack) -> Plan:
        session = connect(ready.accounts, concurrency=self._connection.concurrency, retry=self._connection.retry)
        if isinstance(self._wanted, Spool):
            return Plan(ready.accounts, self._wanted, self._connection.concurrency)
        chosen = {account: self._wanted[account.name] for account in ready.accounts}
        spooled = stack.enter_context(Spool(account.name for account in ready.accounts))
        async with session:
            return await find(session, chosen, spooled, told, self._display, fleet_file=self._connection.fleet_file)

    async def _simulate(self, plan: Plan, told: Interrupts) -> Simulation | None:
        if self._gateways is None or told.first is not None or not plan.projects:
            return None
        self._display.note("simulating: nothing is sent")
        return await told.unless(simulate(plan, self._connection.retry, self._gateways))

    def _show(self, plan: Plan, simulation: Simulation | None) -> None:
        fleet_file = self._connection.fleet_file
        with to_stdout():
            screen = Screen(stderr=self._json == STDOUT)
            for part in plan_parts(plan, self._title, LATENCY, self._credentials(plan), fleet_file=fleet_file):
                screen.print(part)
            for part in simulation_parts(simulation, fleet_file=fleet_file) if simulation is not None else ():
                screen.print(part)
        if plan.finding is not None:
            warn_of_nothing(plan.finding, self._display, found=plan.projects > 0)

    def _write(self, plan: Plan, simulation: Simulation | None, file: TextIO) -> None:
        simulated = {} if simulation is None else {"simulation": simulation_json(simulation)}
        json.dump(plan.to_dict(self._credentials(plan)) | simulated, file, indent=2)
        file.write("\n")

    def _credentials(self, plan: Plan) -> dict[str, str]:
        return {account.name: self._connection.kind(account) for account in plan.accounts}


# ---- what is known before anything is sent


def show_list(spooled: Spool, connection: Connection) -> None:
    """Print what a cleanup of a list would do: how much there is, its least time, the projects of each account."""
    accounts, endpoints = connection.pending, connection.endpoints()
    spooled.unite(endpoints)
    several = len(accounts) > 1
    where = f"with {len(accounts):,} accounts" if several else f"at {_place(accounts[0], endpoints)}"
    lines = [f"Dry run: would delete the failed tasks of {extent(spooled)} {where}; nothing was sent."]
    if words := floor_words(_floor(spooled, connection, endpoints)):
        lines.append(f"Takes {words}.")
    if spooled.duplicates:
        lines.append(f"Left out: {spooled.duplicates:,} duplicates.")
    with to_stdout() as file:
        file.writelines(f"{line}\n" for line in lines)
        for account in accounts:
            file.write(f"\n{printable(account.name)} at {_place(account, endpoints)}" if several else "")
            _show_projects(spooled, account.name, file)


def _show_projects(spooled: Spool, account: str, file: TextIO) -> None:
    for number, one in enumerate(spooled.extents(account)):
        heading = "" if number else f"\n{'groups':>8}  project\n"
        level = "  project level" if one.project_level else ""
        file.write(f"{heading}{groups_of(one):>8}  {printable(one.project_id)}{level}\n")


def _place(account: Pending, endpoints: Mapping[str, str]) -> str:
    """The host that it is sent to, as far as it is known before anything is asked."""
    endpoint = endpoints.get(account.name)
    return printable(urlsplit(endpoint).netloc if endpoint else f"the endpoint that {account.iam_endpoint} names")


def _floor(spooled: Spool, connection: Connection, endpoints: Mapping[str, str]) -> Floor:
    scopes = Scopes({one.name: one.limits for one in connection.pending}, endpoints, connection.concurrency)
    loads = {one.name: [x.groups + x.project_level for x in spooled.extents(one.name)] for one in connection.pending}
    return scopes.floor(loads, LATENCY)
