"""The examination of accounts as the command shows it: a heading per account, a line per check, what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sdrs_async.accounts.account import Account
from sdrs_async.command.screen import Screen
from sdrs_async.command.streams import to_stdout
from sdrs_async.doctor.diagnosis import State
from sdrs_async.doctor.examination import CHECKS, Check, examine
from sdrs_async.formats.text import indented
from sdrs_async.formats.wording import many, printable

_COLOR = {State.PASS: "green", State.FAIL: "bold red", State.SKIPPED: "yellow"}
_SHOWN = {State.FAIL: "FAIL"}
_STATE_WIDTH = max(len(state) for state in State)
_NAME_WIDTH = max(len(name) for name in CHECKS)
_MAX_DETAIL = 250


async def run_checks(accounts: Sequence[Account], *, project_id: str | None = None) -> int:
    """Examine the accounts and print each check on stdout as it ends; the exit code. Arguments as for `examine`.

    Raises `ConfigError` for accounts that cannot be used, and for a stdout that cannot be written.
    """
    checks: list[Check] = []
    with to_stdout():
        screen = Screen()
        async with examine(accounts, project_id=project_id) as coming:
            for account in accounts:
                name, endpoint = printable(account.name), printable(account.endpoint)
                screen.print(Text.assemble((name, "bold"), f"  {endpoint}", overflow="fold"))
                for _ in CHECKS:
                    checks.append(await anext(coming))
                    screen.print(_line(checks[-1]))
                screen.print()
        screen.print(_result(checks))
    return exit_code(checks)


def exit_code(checks: Sequence[Check]) -> int:
    """0: nothing failed; 3: no account's credential is good, and one or more were refused or not proven; else 1."""
    credentials = {check.state for check in checks if check.name == "credential"}
    if State.FAIL in credentials and State.PASS not in credentials:
        return 3
    return 1 if any(check.state is State.FAIL for check in checks) else 0


def _line(check: Check) -> RenderableType:
    """State, name and detail; the remedy goes below the detail. What a server said is text, never markup."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=_STATE_WIDTH)
    grid.add_column(width=_NAME_WIDTH)
    grid.add_column(overflow="fold")
    remedy = f"\n-> {printable(check.remedy)}" if check.remedy else ""
    detail = Text.assemble(_shortened(printable(check.detail)), (remedy, "bold"), overflow="fold")
    grid.add_row(Text(_SHOWN.get(check.state, check.state), style=_COLOR[check.state]), check.name, detail)
    return indented(grid)


def _shortened(detail: str) -> str:
    return detail if len(detail) <= _MAX_DETAIL else f"{detail[: _MAX_DETAIL - 3]}..."


def _result(checks: Sequence[Check]) -> Text:
    code = exit_code(checks)
    examined = many(len(checks) // len(CHECKS), "account")
    failed = sum(check.state is State.FAIL for check in checks)
    said = "nothing to mend" if not failed else f"{many(failed, 'check')} failed"
    if code == 3:
        said += ", no account could sign in"
    style = "bold green" if code == 0 else "bold red"
    return Text.assemble((f"{examined} examined: {said} (exit code {code})", style))
