"""What a cleanup of a list would do, from what is known before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO
from urllib.parse import urlsplit

from sdrs_async.accounts.account import Pending
from sdrs_async.accounts.connecting import Connection
from sdrs_async.cleanup.plan import LATENCY
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.streams import to_stdout
from sdrs_async.formats.plan_text import extent, floor_words, groups_of
from sdrs_async.formats.wording import printable
from sdrs_async.pace.floor import Floor, Scopes


def show_list(spooled: Spool, connection: Connection) -> None:
    """Print how much there is, how long it takes at least, and the projects of each account."""
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
