"""Target lists: read to their end and checked before anything is sent, and kept on disk, not in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from sdrs_async.cleanup.id_forms import check_form
from sdrs_async.cleanup.list_forms import ACCOUNT, ENDPOINT, Row, as_text, rows
from sdrs_async.cleanup.list_text import Text
from sdrs_async.cleanup.spool import Origin, Owned, Spool
from sdrs_async.cloud.calls import check_target
from sdrs_async.cloud.sites import check_endpoint
from sdrs_async.errors import ConfigError, placed
from sdrs_async.formats.wording import printable
from sdrs_async.models import ProjectLevel, Target

_SHOWN = 5
_LONG = 250


class Owners(NamedTuple):
    """Whose targets a list may hold: the `names` of the accounts of a run. `fleet`: they come from a fleet file.

    `endpoints`: by the name, where that is known before anything is sent.
    """

    names: tuple[str, ...]
    fleet: bool = False
    endpoints: Mapping[str, str] = MappingProxyType({})

    def of(self, account: object) -> str:
        """The account that a line names, the only one where it names none. Raises `ConfigError` for any other."""
        if account in (None, ""):
            if len(self.names) > 1:
                raise ConfigError(f"names no account, and the fleet has several: add the key {ACCOUNT} ({self})")
            return self.names[0]
        name = as_text(ACCOUNT, account)
        if name in self.names:
            return name
        if self.fleet:
            raise ConfigError(f"account {name!r:.80} is not one of the fleet ({self})")
        raise ConfigError(
            f"is a target of account {name!r:.80}, and this run is of {self}, with which the same ids may be others: "
            f"use the fleet file that the list came from (--fleet), or remove {ACCOUNT} from it"
        )

    def __str__(self) -> str:
        shown = ", ".join(printable(name) for name in self.names[:_SHOWN])
        return f"{shown} and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else shown


def spool(source: str, owners: Owners, *, project_level: bool = False, any_ids: bool = False) -> Spool:
    """Read the targets of a file, `-` for stdin, to the end. The caller closes the `Spool`.

    `any_ids`: also such as are not of the service's form, if they can be sent at all.
    Raises `ConfigError` with the file's name, and the line where one is to blame.
    """
    result = Spool(owners.names)
    try:
        with _opened(source) as (name, file):
            targets = _read(Text(name, file), owners, result.origins, any_ids=any_ids)
            result.fill(targets, project_level=project_level)
    except BaseException:
        result.close()
        raise
    return result


@contextmanager
def _opened(source: str) -> Iterator[tuple[str, BinaryIO]]:
    """The name for messages, and the open file. stdin stays open."""
    if not source:
        raise ConfigError("--targets: the path is empty")
    if source == "-" and sys.stdin is None:
        raise ConfigError("stdin: the targets cannot be read: it is closed")
    try:
        if source == "-":
            yield "stdin", sys.stdin.buffer
        else:
            with open(source, "rb") as file:
                yield source, file
    except OSError as error:
        raise ConfigError(f"{source}: the targets cannot be read: {error.strerror or error}") from None


def _read(text: Text, owners: Owners, origins: dict[str, Origin], *, any_ids: bool) -> Iterator[Owned]:
    """Every target of the file with its account, checked, and in `origins` the endpoints that it names.

    Raises `ConfigError` with the place.
    """
    for row in rows(text):
        with placed(f"{text.name}, {row.place}"):
            target, owner = _target(row, any_ids=any_ids), owners.of(row.account)
            endpoint = None if row.endpoint is ... else _spelled(as_text(ENDPOINT, row.endpoint))
        if endpoint is not None:
            origin = Origin(endpoint, text.name, row.place)
            origin.check(owner, owners.endpoints.get(owner, endpoint))
            origin.check_same(owner, origins.setdefault(owner, origin))
        yield owner, target


@lru_cache
def _spelled(endpoint: str) -> str:
    """The endpoint as accounts have it. Raises `ConfigError`, in few words, whatever the list holds."""
    try:
        return check_endpoint(endpoint, allow_http=True)  # nothing is sent there for this
    except ConfigError as error:
        text = str(error) if len(str(error)) <= _LONG else f"endpoint {ascii(endpoint)[:80]} is not a URL"
        raise ConfigError(printable(text)) from None


def _target(row: Row, *, any_ids: bool) -> Target | ProjectLevel:
    """A results line of a project's own level has no group, and says which level it is of."""
    project_id = as_text("project_id", row.project_id)
    target: Target | ProjectLevel
    if row.level != "project":
        target = Target(project_id, as_text("server_group_id", row.server_group_id))
    elif row.server_group_id is None:
        target = ProjectLevel(project_id)
    else:
        raise ConfigError("level is project, but a server_group_id is named too: one of the two is wrong")
    return check_target(target) if any_ids else check_form(target)
