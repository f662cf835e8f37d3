"""Signing in as an agency, by which another account lends its projects: the user first, and then its role there.

The options are those of the plugin of the same name in otcextensions, which need not be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from keystoneauth1.identity import v3
from keystoneauth1.loading import Opt
from keystoneauth1.session import Session

KEYS = ("agency_name", "xrole_name")
"""What Huawei Cloud and Open Telekom Cloud call the name of the agency; `target_agency_key` says it of other clouds."""
_HUAWEI = (".myhuaweicloud.com", ".myhuaweicloud.eu")
_TARGET = (
    *("target_agency_name", "target_project_id", "target_project_name", "target_domain_id", "target_domain_name"),
    *("target_agency_key", "roles"),
)


def options() -> list[Opt]:
    """What is given beside the options of a sign-in by password."""
    return [Opt(name.replace("_", "-")) for name in _TARGET]


def agency(auth: Mapping[str, Any]) -> v3.Auth:
    """The plugin; `auth` holds the user's own sign-in and its target."""
    user = v3.Password(**{key: value for key, value in auth.items() if key not in _TARGET})
    url = auth["auth_url"]
    return v3.Auth(url, [_AssumeRole(user, _role(url, auth))], **_scope(auth))


def _role(url: str, auth: Mapping[str, Any]) -> dict[str, Any]:
    is_huawei = (urlsplit(url).hostname or "").endswith(_HUAWEI)
    key = auth.get("target_agency_key", KEYS[0] if is_huawei else KEYS[1])
    role: dict[str, Any] = {key: auth["target_agency_name"]}
    if "target_domain_id" in auth:
        role["domain_id"] = auth["target_domain_id"]
    else:
        role["domain_name"] = auth["target_domain_name"]
    if "roles" in auth:
        role["restrict"] = {"roles": auth["roles"]}
    return role


def _scope(auth: Mapping[str, Any]) -> dict[str, Any]:
    """A project of the lending account, else that account itself."""
    names = ("project_id", "project_name", "domain_id", "domain_name")
    found = next(name for name in names if f"target_{name}" in auth)
    return {found: auth[f"target_{found}"]}


class _AssumeRole(v3.AuthMethod):
    """Sends the user's token along, which it signs in for."""

    def __init__(self, user: v3.Password, role: dict[str, Any]) -> None:
        self._user = user
        self._role = role

    def get_auth_data(
        self, session: Session, auth: v3.Auth, headers: dict[str, str], request_kwargs: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        headers["X-Auth-Token"] = str(self._user.get_access(session).auth_token)
        return "assume_role", self._role
