"""What the flags select: the accounts, and in each the targets of a list or what to look for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sdrs_async.accounts.connecting import Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.cleanup.id_forms import is_usual_project
from sdrs_async.cleanup.spool import Spool
from sdrs_async.cleanup.target_files import Owners, spool
from sdrs_async.command.accounts import of_flags, of_fleet
from sdrs_async.command.inputs import inputs
from sdrs_async.command.options import Connecting, Wanted
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.results import STDOUT
from sdrs_async.command.streams import say
from sdrs_async.formats.wording import many

Selections = Mapping[str, Selection]
"""What to look for, by the accounts' names."""
Targets = Spool | Selections


def selected(wanted: Wanted, account: Connecting, outputs: Outputs) -> tuple[Connection, Selections]:
    """The accounts that the flags name, and what to look for in each where the targets are not listed.

    Nothing is sent. Raises `ConfigError`, also for outputs that would replace what is read.
    """
    wanted.check()
    given = account.read()
    if wanted.fleet is not None:
        connection, selections = of_fleet(wanted.fleet, given, os.environ, project_level=wanted.project_level)
    else:
        connection = of_flags(given, os.environ)
        selections = {} if wanted.targets is not None else {one.name: wanted.selection() for one in connection.pending}
    outputs.check(inputs(wanted, connection, os.environ))
    return connection, selections


@contextmanager
def listed(
    wanted: Wanted, connection: Connection, selections: Selections, *, quiet: bool
) -> Iterator[tuple[Connection, Targets]]:
    """What there is to do: the selections, or the targets of the list, with the accounts alone that these are of.

    A list is read to its end, and nothing is sent; a word when nothing is in it, unless `quiet`. Raises `ConfigError`.
    """
    if wanted.targets is None:
        yield connection, selections
        return
    names = tuple(one.name for one in connection.pending)
    owners = Owners(names, connection.fleet_file, connection.endpoints())
    with spool(wanted.targets, owners, project_level=wanted.project_level, any_ids=wanted.any_ids) as spooled:
        shown = "stdin" if wanted.targets == STDOUT else wanted.targets
        if not (spooled.projects or quiet):
            say(f"warning: {shown} names no protection group: nothing to do")
        if not (wanted.any_ids or quiet):
            _warn_of_unusual(shown, spooled)
        yield connection.of(spooled.accounts() or names[:1]), spooled


def _warn_of_unusual(source: str, spooled: Spool) -> None:
    """A name or half an id may have the form of one."""
    unusual = (one.project_id for one in spooled.extents() if not is_usual_project(one.project_id))
    if first := next(unusual, None):
        more = sum(1 for _ in unusual)
        others = f" (and {many(more, 'more project')})" if more else ""
        say(
            f"warning: {source}: project_id {first!r}{others} is not of 32 digits and letters from a to f, as the "
            "service's are: is it a name, or cut off?"
        )
