"""The calls of the service (vendor pages sdrs_05_0901..0904, 0402): their paths, and the ids in these. No I/O."""

from __future__ import annotations

import re
from typing import TypeGuard
from unicodedata import normalize
from urllib.parse import quote

from sdrs_async.errors import ConfigError
from sdrs_async.models import Call, Listing, ProjectLevel, Target

PAGE = 999
"""Items of a page. The manual allows 1000, the text of its error SDRS.0221 only less than that."""

_RESERVED = frozenset({"batch", "failure-jobs"})
# Nearly every id: it needs neither a closer look nor an encoding.
_PLAIN_ID = re.compile(r"(?!(?i:batch|failure-jobs)$)[A-Za-z0-9_-]{1,64}", re.ASCII)
_FORBIDDEN = re.compile(r"[/?#%\\; ]|\.\.")
UNSEEN = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
"""Letters that leave no mark and that readers may drop, as far as `isprintable` lets them pass (Unicode's property
Default_Ignorable_Code_Point)."""
_MAX_ID = 256


def check_id(name: str, value: object) -> str:
    """The id unchanged, or `ConfigError` when the path would turn into another call with it.

    An empty group id, `batch` or a path separator leads from the group's delete to the whole project's; so does what
    a server turns into one of them that folds case and compatible letters (Unicode's NFKC), or drops unseen ones.
    """
    if _is_plain(value) or (isinstance(value, str) and _what_is_wrong(value) is None):
        return value
    shown = ascii(value) if len(ascii(value)) <= 80 else f"{ascii(value)[:77]}..."
    raise ConfigError(f"{name} {shown} is refused: {_what_is_wrong(value)}")


def _what_is_wrong(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return "it is empty" if value == "" else "an id is text"
    if len(value) > _MAX_ID:
        return f"it is longer than {_MAX_ID} characters ({len(value):,})"
    if not value.isprintable() or UNSEEN.search(value):
        return "it holds a control or other invisible character"
    # As servers may read it that fold case and compatible letters, in either order.
    readings = (normalize("NFKC", text).casefold() for text in (value, value.casefold(), value.upper()))
    return next((wrong for reading in readings if (wrong := _leads_away(reading))), None)


def _leads_away(reading: str) -> str | None:
    if reading in _RESERVED:
        return f"this is a reserved word ({reading}), which would turn the path into another call"
    if reading == ".":
        return "a dot alone leads to another path"
    found = _FORBIDDEN.search(reading)
    return None if found is None else f"an id holds no {'space' if found[0] == ' ' else found[0]}"


def _is_plain(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _PLAIN_ID.fullmatch(value) is not None


def check_target(target: Target | ProjectLevel) -> Target | ProjectLevel:
    """The target unchanged, or `ConfigError` naming the id that is refused."""
    check_id("project_id", target.project_id)
    if not isinstance(target, ProjectLevel):
        check_id("server_group_id", target.server_group_id)
    return target


def path_of(call: Call) -> str:
    """The percent-encoded path of a call, sdrs_05_0904 or 0903 for a deletion. Raises `ConfigError` on a refused id."""
    if isinstance(call, Listing):
        return call.path
    project = _segment("project_id", call.project_id)
    if isinstance(call, ProjectLevel):
        return f"/v1/{project}/task-center/failure-jobs/batch"
    return f"/v1/{project}/task-center/{_segment('server_group_id', call.server_group_id)}/failure-jobs/batch"


def groups_page(project_id: str, offset: int = 0, limit: int = PAGE) -> Listing:
    """One page of a project's protection groups (sdrs_05_0402)."""
    path = f"/v1/{_segment('project_id', project_id)}/server-groups"
    return Listing(path, f"limit={limit}&offset={offset}", project_id)


def failures_page(project_id: str, server_group_id: str | None, offset: int = 0, limit: int = PAGE) -> Listing:
    """One page of failed tasks (sdrs_05_0901): those inside a group, or without one those of the project's level."""
    path = f"/v1/{_segment('project_id', project_id)}/task-center/failure-jobs"
    group = "" if server_group_id is None else f"&server_group_id={_segment('server_group_id', server_group_id)}"
    return Listing(path, f"limit={limit}&offset={offset}{group}", project_id)


def projects_page(query: str = "") -> Listing:
    """The projects that the account may use, at IAM: a call that needs no special permission."""
    return Listing("/v3/auth/projects", query, at_iam=True)


def _segment(name: str, value: str) -> str:
    return value if _is_plain(value) else quote(check_id(name, value), safe="")
