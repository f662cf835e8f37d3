"""What a cleanup would do, read only: accounts, projects, and how many groups; nothing is ever deleted here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from functools import partial
from signal import Signals
from typing import Any, TextIO

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sdrs_async.accounts.account import Account
from sdrs_async.accounts.connecting import Connection, note_lost
from sdrs_async.accounts.selection import Selection
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.documents import Document
from sdrs_async.command.finding import Display, connected, find, warn_of_nothing
from sdrs_async.command.floors import LATENCY, Floors, floor_json
from sdrs_async.command.interrupts import Interrupts, interrupts
from sdrs_async.command.outputs import STDOUT
from sdrs_async.command.questions import extent, groups_of, names_of
from sdrs_async.command.simulating import Simulation, simulate, simulation_json, simulation_parts
from sdrs_async.command.terminal import Screen, to_stdout
from sdrs_async.formats import wording
from sdrs_async.formats.text import learned_section
from sdrs_async.formats.wording import duration, printable
from sdrs_async.limits import Limits
from sdrs_async.pace.floor import Floor
from sdrs_async.report import Ledger, Report
from sdrs_async.report.discovery import in_words
from sdrs_async.report.learned import learned_list
from sdrs_async.run import Finding
from sdrs_async.session import connect

__all__ = ["Planning"]

SCHEMA = "sdrs-async/plan/1"


@dataclass(slots=True)
class Plan:
    """What there is. `names`: of projects, by account and id; `finding`: what was looked for, unless all was given.

    `simulation`: where one was asked for.
    """

    accounts: tuple[Account, ...]
    spooled: Spool
    report: Ledger
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    finding: Finding | None = None
    simulation: Simulation | None = None

    def left_out(self, account: Account) -> Counter[str]:
        """How many of its projects are left out, by the reason."""
        return Counter() if self.finding is None else self.finding.left_out.get(account.name, Counter())


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
        self._file: Document | None = None
        self._gateways = gateways
        self._display = Display(quiet)
        self._listing = not isinstance(wanted, Spool)

    async def run(self) -> int:
        """Do it, once; the exit code. A signal ends it early, and what is known by then is shown.

        Raises `AuthenticationError` when no account could sign in, and `ConfigError`.
        """
        wanted = self._wanted
        selections, listed = ({}, wanted.first_projects()) if isinstance(wanted, Spool) else (wanted, {})
        async with interrupts() as told, AsyncExitStack() as files:
            if self._json not in (None, STDOUT):
                self._file = files.enter_context(Document("--json", self._json))
            ready = await connected(self._connection, selections, told, self._display, listed)
            if ready is None:
                return 128 + (told.first or 0)
            with ExitStack() as stack:
                plan = await self._plan(ready.accounts, told, stack)
                note_lost(plan.report, ready.lost)
                await self._simulate(plan, told)
                self._show(plan, told.numbers)
            return plan.report.exit_code if told.first is None else 128 + told.first

    async def _plan(self, accounts: tuple[Account, ...], told: Interrupts, stack: ExitStack) -> Plan:
        session = connect(accounts, concurrency=self._connection.concurrency, retry=self._connection.retry)
        if isinstance(self._wanted, Spool):
            self._wanted.unite({account.name: account.endpoint for account in accounts})
            return Plan(accounts, self._wanted, Ledger())
        chosen = {account: self._wanted[account.name] for account in accounts}
        spooled = stack.enter_context(Spool(account.name for account in accounts))
        async with session:
            finding = await find(session, chosen, spooled, told, self._display, fleet_file=self._connection.fleet_file)
        return Plan(accounts, spooled, finding.report, names_of(finding.projects), finding)

    async def _simulate(self, plan: Plan, told: Interrupts) -> None:
        if self._gateways is None or told.first is not None or not plan.spooled.projects:
            return
        self._display.note("simulating: nothing is sent")
        concurrency, retry = self._connection.concurrency, self._connection.retry
        plan.simulation = await told.unless(
            simulate(plan.accounts, concurrency, retry, plan.spooled, self._gateways, listing=self._listing)
        )

    def _show(self, plan: Plan, signals: Iterable[Signals]) -> None:
        if self._json == STDOUT:
            with to_stdout() as file:
                self._write(plan, file)
        elif self._file is not None:
            self._file.save(partial(self._write, plan), signals)
            self._display.note(f"wrote {self._json}")
        on_stdout = self._json == STDOUT
        with to_stdout():
            screen = Screen(stderr=on_stdout)
            for part in self._parts(plan, screen.width):
                screen.print(part)
        if plan.finding is not None:
            warn_of_nothing(plan.finding, self._display, found=plan.spooled.projects > 0)

    # ---- as a text

    def _parts(self, plan: Plan, width: int) -> Iterator[RenderableType]:
        of = f" of {len(plan.accounts):,} accounts" if len(plan.accounts) > 1 else ""
        floors = self._floors(plan)
        yield Text(f"{self._title} {extent(plan.spooled)}{of}.", style="bold")
        if (floor := floors.in_all()).bottleneck is not None:
            yield Text(_floor_words(floor, listing=self._listing))
        if plan.report.interrupted:
            yield Text("Interrupted: there may be more that was not found.", style="red")
        for account in plan.accounts:
            yield Text()
            yield Text(printable(account.name), style="bold")
            yield Padding(self._facts(account, plan, floors), (0, 0, 0, 2), expand=False)
            if (projects := _projects(account, plan)).row_count:
                yield Padding(projects, (1, 0, 0, 2), expand=False)
        yield from _gaps(plan.report)
        yield from learned_section(floors.learned, fleet_file=self._connection.fleet_file)
        if plan.simulation is not None:
            yield from simulation_parts(plan.simulation, fleet_file=self._connection.fleet_file)

    def _floors(self, plan: Plan) -> Floors:
        learned, concurrency = plan.report.learned, self._connection.concurrency
        return Floors(plan.accounts, concurrency, plan.spooled, learned, listing=self._listing)

    def _facts(self, account: Account, plan: Plan, floors: Floors) -> Table:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True, style="dim")
        grid.add_column(overflow="fold")
        left_out = plan.left_out(account)
        floor = floors.of(account) if len(plan.accounts) > 1 else Floor()
        facts = {
            "Endpoint": account.endpoint,
            "Region": account.region or "not known",
            "Credential": self._connection.kind(account),
            "Limits": _limits_words(account.limits, self._connection.concurrency),
            "Takes": "" if floor.bottleneck is None else f"at least {duration(floor.seconds)} ({floor.bottleneck})",
            "Left out": in_words(left_out),
        }
        for name, value in facts.items():
            if value:
                grid.add_row(name, Text(printable(value)))
        return grid

    # ---- as JSON

    def _write(self, plan: Plan, file: TextIO) -> None:
        json.dump(self._document(plan), file, indent=2)
        file.write("\n")

    def _document(self, plan: Plan) -> dict[str, Any]:
        floors = self._floors(plan)
        simulation = {} if plan.simulation is None else {"simulation": simulation_json(plan.simulation)}
        return {
            "schema": SCHEMA,
            "interrupted": plan.report.interrupted,
            "floor": floor_json(floors.in_all()) | {"latency_s": LATENCY, "latency": "assumed"},
            "limits": {"learned": learned_list(floors.learned)},
            **simulation,
            "accounts": [
                {
                    "name": account.name,
                    "credential": self._connection.kind(account),
                    "endpoint": account.endpoint,
                    "iam_endpoint": account.iam_endpoint,
                    "region": account.region,
                    "limits": _limits_json(account.limits, self._connection.concurrency),
                    "floor": floor_json(floors.of(account)),
                    "left_out": dict(sorted(plan.left_out(account).items())),
                }
                for account in plan.accounts
            ],
            "accounts_failed": plan.report.to_dict()["accounts"]["failed"],
            "discovery": plan.report.discovery.to_dict(),
            "targets": {
                "groups": plan.spooled.count,
                "project_level": plan.spooled.levels,
                "duplicates": plan.spooled.duplicates,
            },
            "projects": [
                {
                    "account": one.account,
                    "project_id": one.project_id,
                    "name": plan.names.get((one.account, one.project_id)) or None,
                    "groups": one.groups,
                    "project_level": one.project_level,
                }
                for one in plan.spooled.extents()
            ],
        }


def _floor_words(floor: Floor, *, listing: bool) -> str:
    pace, lists = wording.pace(floor.bottleneck or ""), ", with its lists" if listing else ""
    return f"Takes at least {duration(floor.seconds)}{lists} ({LATENCY * 1000:.0f} ms per answer assumed): {pace}."


def _projects(account: Account, plan: Plan) -> Table:
    """The account's projects."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("groups", justify="right", no_wrap=True)
    if plan.spooled.levels:
        table.add_column("project level", no_wrap=True)
    table.add_column("project", overflow="fold")
    table.add_column("name", overflow="fold")
    for one in plan.spooled.extents(account.name):
        level = ["yes" if one.project_level else ""] if plan.spooled.levels else []
        name = Text(printable(plan.names.get((account.name, one.project_id), "")))
        table.add_row(groups_of(one), *level, Text(printable(one.project_id)), name)
    return table


def _gaps(report: Report) -> Iterator[RenderableType]:
    document = report.to_dict()
    for heading, (gaps, more) in (
        ("Refused accounts", wording.refused_accounts(document)),
        ("Not (wholly) listed", wording.unlisted(document)),
    ):
        if gaps:
            yield Text()
            yield Text(heading, style="bold")
        for gap in gaps:
            yield Padding(Text(printable(gap.happened), style="red", overflow="fold"), (0, 0, 0, 2), expand=False)
            for line in (gap.remedy, *gap.names):
                yield Padding(Text(printable(line), overflow="fold"), (0, 0, 0, 4), expand=False)
        if more:
            yield Padding(Text(printable(more), style="italic"), (0, 0, 0, 2), expand=False)


def _limits_json(limits: Limits, concurrency: int | None) -> dict[str, str | int | None]:
    rates = {name: getattr(limits, name) for name in ("project_rate", "user_rate", "endpoint_rate")}
    shown: dict[str, str | int | None] = {name: None if rate is None else str(rate) for name, rate in rates.items()}
    return {**shown, "project_concurrency": limits.project_concurrency, "concurrency": concurrency}


def _limits_words(limits: Limits, concurrency: int | None) -> str:
    words = {
        "per project": limits.project_rate,
        "at a time per project": limits.project_concurrency,
        "in all": limits.user_rate,
        "to the endpoint": limits.endpoint_rate,
        "at a time over all accounts": concurrency,
    }
    return ", ".join(f"{limit} {what}" for what, limit in words.items() if limit is not None) or "none"
