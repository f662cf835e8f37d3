"""Which call a method and path are: the service's routes, exactly as it matches them."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

# The order decides between two that fit: the word `batch` is never taken for the id of a failed task.
_SDRS = (
    ("delete_group_failures", "DELETE", "/v1/{project_id}/task-center/{server_group_id}/failure-jobs/batch"),
    ("delete_project_failures", "DELETE", "/v1/{project_id}/task-center/failure-jobs/batch"),
    ("delete_failure", "DELETE", "/v1/{project_id}/task-center/failure-jobs/{job_id}"),
    ("list_failures", "GET", "/v1/{project_id}/task-center/failure-jobs"),
    ("list_groups", "GET", "/v1/{project_id}/server-groups"),
    ("get_group", "GET", "/v1/{project_id}/server-groups/{server_group_id}"),
)
_IAM = (
    ("create_token", "POST", "/v3/auth/tokens"),
    ("list_own_projects", "GET", "/v3/auth/projects"),
    ("list_projects", "GET", "/v3/projects"),
    ("list_versions", "GET", "/"),
    ("get_version", "GET", "/v3/?"),
)
UNKNOWN = "unknown"
SDRS_ROUTES = frozenset(name for name, _, _ in _SDRS)
IAM_ROUTES = frozenset(name for name, _, _ in _IAM)
ROUTES = SDRS_ROUTES | IAM_ROUTES
# What is answered before anybody has signed in.
OPEN_ROUTES = frozenset({"create_token", "list_versions", "get_version"})


class Call(NamedTuple):
    """One call: the name of its route and the ids that its path carries, decoded; `None` where it carries none."""

    route: str
    project_id: str | None = None
    server_group_id: str | None = None
    job_id: str | None = None


def _compiled(method: str) -> list[tuple[str, re.Pattern[str]]]:
    templates = [(name, template) for name, its_method, template in (*_SDRS, *_IAM) if its_method == method]
    return [(name, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template))) for name, template in templates]


_BY_METHOD = {method: _compiled(method) for method in ("DELETE", "GET", "POST")}
_BY_METHOD["HEAD"] = [(route, pattern) for route, pattern in _BY_METHOD["GET"] if route in IAM_ROUTES]


def call_of(method: str, path: str) -> Call:
    """The call that a method and a raw path (no query) are; its route is `UNKNOWN` when there is no such API.

    `//` is not folded, so an empty id is no call at all; an escape of a plain letter is that letter, so that
    `%62atch` is the project-wide delete like `batch`.
    """
    escaped = "%" in path
    if escaped:
        path = "/".join(quote(unquote(segment), safe="") for segment in path.split("/"))
    for route, pattern in _BY_METHOD.get(method, ()):
        found = pattern.fullmatch(path)
        if found is not None:
            ids = found.groupdict()
            return Call(route, **({name: unquote(value) for name, value in ids.items()} if escaped else ids))
    return Call(UNKNOWN)
