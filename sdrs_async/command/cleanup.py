"""One cleanup as the command does it: what is asked, deleted and shown, and the files written in every case."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial

import anyio

from sdrs_async.accounts.connecting import Connected, Connection, count_sign_ins
from sdrs_async.cleanup.plan import Plan
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.endings import Ending
from sdrs_async.command.finding import GENTLY, Display, about, confirmed, connected, find, stopping, warn_of_nothing
from sdrs_async.command.inputs import Selections, Wanted
from sdrs_async.command.outlook import Outlook, Watch, spent, waiting
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.progress import Snapshot
from sdrs_async.command.signals import interrupts
from sdrs_async.command.streams import STDOUT, say
from sdrs_async.errors import AuthenticationError, ConfigError, SdrsError
from sdrs_async.formats.plan_text import extent, floor_words
from sdrs_async.formats.wording import without_owner
from sdrs_async.models import Outcome, ProjectLevel, Target, Verdict
from sdrs_async.report import Ledger, Report
from sdrs_async.run import Finding, Run
from sdrs_async.session import Selected, Session, connect


class Cleanup:
    """Clean the targets of a spool, or what is found by the selections, which are by the accounts' names.

    `asking`: delete only after a yes; what is found is then known before. `quiet`, `interval`: see `Display`.
    """

    def __init__(
        self,
        connection: Connection,
        wanted: Wanted,
        outputs: Outputs,
        *,
        asking: bool = False,
        quiet: bool = False,
        interval: float = 5.0,
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._outputs = outputs
        self._asking = asking
        # The lines of results would run into a bar.
        shared = outputs.results == STDOUT and sys.stdout.isatty()
        self._display = Display(quiet, interval, bar=not shared, fleet_file=connection.fleet_file)
        self._seen: Counter[tuple[str, str, bool]] = Counter()
        self._levels = 0
        self._run: Run | None = None
        self._outlook: Outlook | None = None
        self._ending = Ending(fleet_file=connection.fleet_file, quiet=quiet)

    async def run(self) -> Ending:
        """Do it, once, and present how it ended. Raises nothing: an error is in the ending.

        SIGINT, SIGTERM and SIGHUP end it early, and cut off neither the files nor the summary.
        """
        async with interrupts() as self._interrupts:
            with ExitStack() as files:
                try:
                    self._records = files.enter_context(self._outputs.opened())
                    await self._connect()
                except Exception as error:
                    stopped = self._ending.stopped(error)
                    if self._ending.report is None:
                        self._close(stopped.report, {})
            self._ending.present(self._outputs, self._interrupts)
        return self._ending

    # ---- before anything is deleted

    async def _connect(self) -> None:
        ready = await connected(self._connection, self._wanted, self._interrupts, self._display)
        if ready is None:
            return
        session = connect(ready.accounts, concurrency=self._connection.concurrency, retry=self._connection.retry)
        if isinstance(self._wanted, Spool):
            await self._delete_list(session, self._wanted, ready)
            return
        async with session:
            if self._asking:
                await self._find_and_delete(session, self._wanted, ready)
            else:
                await self._delete(session, {account: self._wanted[account.name] for account in ready.accounts}, ready)
                self._warn_of_nothing(self._run)

    async def _delete_list(self, session: Session, spooled: Spool, ready: Connected) -> None:
        plan = Plan(ready.accounts, spooled, session.concurrency)
        if self._asking and not await self._is_confirmed(plan, "nothing was sent"):
            return
        if not self._asking and (words := floor_words(plan.floor())):
            self._display.note(f"{extent(plan)}: {words}")
        async with session:
            await self._delete(session, plan, ready)

    async def _find_and_delete(self, session: Session, wanted: Selections, ready: Connected) -> None:
        with Spool(account.name for account in ready.accounts) as spooled:
            try:
                plan = await find(session, wanted, spooled, self._interrupts, self._display)
            except SdrsError as error:
                self._close(self._ending.stopped(error).report, ready.lost)
                return
            if self._interrupts.first is None and plan.projects:
                self._warn_of_nothing(plan.finding, found=True)
                if await self._is_confirmed(plan, "nothing was deleted"):
                    plan.report.restart()
                    await self._delete(session, plan, ready)
                    return
            self._close(plan.report, ready.lost)
            self._warn_of_nothing(plan.finding)

    async def _is_confirmed(self, plan: Plan, kept: str) -> bool:
        """Whether the answer was yes; `False` after a signal. Raises `ConfigError` at a no."""
        answer = await self._interrupts.unless(confirmed(about(plan)))
        if answer is False:
            raise ConfigError(f"not confirmed: {kept}")
        return bool(answer)

    def _close(self, report: Report | None, lost: Mapping[str, AuthenticationError]) -> None:
        """Nothing is deleted; what was found, and what was not, is in the files all the same."""
        self._ending.began(report, lost)
        if self._ending.report is not None:
            self._ending.report.finish()
            if self._ending.error is not None:
                self._note(self._ending.error)
            with self._ending.noting():
                self._records.begin({})
            self._write(Plan((), self._wanted) if isinstance(self._wanted, Spool) else None)

    def _warn_of_nothing(self, looked: Run | Finding | None, *, found: bool = False) -> None:
        if looked is not None and self._ending.error is None:
            warn_of_nothing(looked, self._display, found=found or looked.report.targets["planned"] > 0)

    # ---- deleting

    async def _delete(self, session: Session, targets: Selected, ready: Connected) -> None:
        """Delete and write the files. The report of a plan, where it was looked for, goes on."""
        plan = targets if isinstance(targets, Plan) else None
        report = plan.report if plan is not None and plan.finding is not None else None
        self._outlook = None if plan is None else Outlook(plan, anyio.current_time())
        self._records.begin(self._endpoints(ready))
        try:
            async with anyio.create_task_group() as tasks:
                try:
                    async with session.stream(targets, report=report) as run:
                        self._run = run
                        self._ending.began(run.report, ready.lost)
                        watch = Watch(run.survey)
                        self._display.progress(tasks, partial(self._snapshot, run, watch, plan), watch)
                        with stopping(run, self._interrupts, self._records.wait_no_more):
                            async for outcome in run:
                                await self._take(outcome, run)
                            if plan is not None and self._interrupts.first is None:
                                await self._leave_out(plan, ready.lost, run)
                except SdrsError as error:
                    self._note(self._ending.stopped(error))
                tasks.cancel_scope.cancel()
        except Exception as error:  # a defect, of the display too
            self._note(self._ending.stopped(error))
            await self._take_rest()
        self._write(plan)

    def _endpoints(self, ready: Connected) -> dict[str, str]:
        """Of one that could not sign in that which its list names, so that the next run can still compare it."""
        named = self._wanted.endpoints() if isinstance(self._wanted, Spool) else {}
        return named | {account.name: account.endpoint for account in ready.accounts}

    def _snapshot(self, run: Run, watch: Watch, plan: Plan | None) -> Snapshot:
        targets, now, levels = run.report.targets, anyio.current_time(), self._levels
        held, used_up = waiting(watch.seen, now), spent(watch.seen, now, fleet_file=self._display.fleet_file)
        clean = targets["done"] + targets["gone"]
        # What a second account at an endpoint finds there again settles only once.
        found = run.report.discovery.groups + levels - run.duplicates
        total = found if plan is None else plan.groups + plan.levels
        noun = "targets" if levels or (plan is not None and plan.levels) else "groups"
        latency, outlook = run.report.median_latency, self._outlook
        least = 0.0 if outlook is None else outlook.seconds(now, latency, watch.learned, held)
        failed, skipped = targets["failed"], targets["skipped"]
        growing = plan is None and run.is_reading()
        return Snapshot(total, clean, failed, skipped, held, noun, growing, least, used_up)

    async def _take(self, outcome: Outcome, run: Run) -> None:
        of_project = isinstance(outcome.target, ProjectLevel)
        self._seen[outcome.account, outcome.target.project_id, of_project] += 1
        self._levels += of_project
        if self._outlook is not None:
            self._outlook.settle(outcome.account, outcome.target.project_id)
        for mishap in await self._records.take(outcome):
            self._stop(mishap, run)

    async def _leave_out(self, plan: Plan, lost: Mapping[str, AuthenticationError], run: Run) -> None:
        """The targets of accounts that could not be signed in to are skipped, each with the reason."""
        for name, error in lost.items():
            for outcome in _skipped(plan, name, f"not sent: {without_owner(name, str(error))}"):
                run.report.add(outcome)
                await self._take(outcome, run)

    async def _take_rest(self) -> None:
        """What had settled before a defect is counted in the report: the files have it too."""
        if self._run is not None:
            with anyio.move_on_after(1), suppress(Exception):
                async for outcome in self._run:
                    await self._take(outcome, self._run)

    def _stop(self, mishap: SdrsError, run: Run) -> None:
        self._ending.mishaps.append(mishap)
        self._note(mishap)
        if self._interrupts.first is None and len(self._ending.mishaps) == 1:
            say(f"stopping: {GENTLY}")
        run.stop()

    def _note(self, error: SdrsError) -> None:
        """Say in the report too what stopped the run; a refused credential is there by itself."""
        if self._ending.report is not None and not isinstance(error, AuthenticationError):
            self._ending.report.fail(str(error))

    # ---- the files

    def _write(self, plan: Plan | None = None) -> None:
        """Complete the report and write its documents."""
        report = self._ending.report
        if report is None:
            return
        count_sign_ins(report, self._connection.pending)
        if self._interrupts.first is not None:
            # It may have come when all was done, but for results that nobody read.
            report.finish(self._interrupts.first)
        if plan is not None:
            with self._ending.noting():
                self._count_unread(plan, report)
        self._records.write(report, self._ending, self._interrupts.numbers)

    def _count_unread(self, plan: Plan, report: Ledger) -> None:
        """Targets that were never read are planned all the same."""
        report.add_duplicates(plan.duplicates)
        for one in plan.by_project():
            project = one.account, one.project_id
            report.add_unsettled(*project, one.groups - self._seen[*project, False])
            report.add_unsettled(*project, one.project_level - self._seen[*project, True], project_level=True)


def _skipped(plan: Plan, account: str, message: str) -> Iterator[Outcome]:
    """All targets of an account, none of which was sent."""
    for project_id, items in plan.targets(account).items():
        for item in items:
            target = item if isinstance(item, ProjectLevel) else Target(project_id, item)
            yield Outcome(target, Verdict.SKIPPED, message=message, account=account)
