"""What a cleanup would do, read only: it is found and shown; nothing is ever deleted here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TextIO

from sdrs_async.accounts.connecting import Connected, Connection, note_lost
from sdrs_async.accounts.selection import Selection
from sdrs_async.cleanup.plan import LATENCY, Plan
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.documents import Document
from sdrs_async.command.finding import Display, connected, find, warn_of_nothing
from sdrs_async.command.results import STDOUT
from sdrs_async.command.screen import Screen
from sdrs_async.command.signals import Interrupts, interrupts
from sdrs_async.command.simulating import Simulation, simulate, simulation_json, simulation_parts
from sdrs_async.command.streams import to_stdout
from sdrs_async.formats.plan_text import plan_parts
from sdrs_async.session import connect


class Planning:
    """Find out what is wanted, targets or what to look for by the accounts' names, and show it.

    `gateways`: simulate it besides, against these, or without any against the configured limits.
    """

    def __init__(
        self,
        connection: Connection,
        wanted: Spool | Mapping[str, Selection],
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
        wanted, file = self._wanted, None
        selections, listed = ({}, wanted.first_projects()) if isinstance(wanted, Spool) else (wanted, {})
        async with interrupts() as told, AsyncExitStack() as stack:
            if self._json not in (None, STDOUT):
                file = stack.enter_context(Document("--json", self._json))
            ready = await connected(self._connection, selections, told, self._display, listed)
            if ready is None:
                return 128 + (told.first or 0)
            plan = await self._plan(ready, told, stack)
            note_lost(plan.report, ready.lost)
            simulation = await self._simulate(plan, told)
            write = partial(self._write, plan, simulation)
            if file is not None:
                file.save(write, told.numbers)
                self._display.note(f"wrote {self._json}")
            elif self._json == STDOUT:
                with to_stdout() as stdout:
                    write(stdout)
            self._show(plan, simulation)
            return plan.report.exit_code if told.first is None else 128 + told.first

    async def _plan(self, ready: Connected, told: Interrupts, stack: AsyncExitStack) -> Plan:
        session = connect(ready.accounts, concurrency=self._connection.concurrency, retry=self._connection.retry)
        if isinstance(self._wanted, Spool):
            self._wanted.unite({account.name: account.endpoint for account in ready.accounts})
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
