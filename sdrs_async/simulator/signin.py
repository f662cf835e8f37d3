"""Judging a sign-in: by password, token, application credential or agency; and what the new token is good for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sdrs_async.simulator.access import Access
from sdrs_async.simulator.answers import Answer, iam_error
from sdrs_async.simulator.projects import Project, Projects

_WRONG_CREDENTIAL = iam_error(401, "The username or password is wrong.")
_NO_SCOPE = iam_error(401, "The user has no access to the project or domain of the scope.")
_BAD_REQUEST = iam_error(400, "The request body is not a sign-in with one of the known methods.")


class Grant(NamedTuple):
    """What was asked for and is granted. `scope`: the part of the token that names it; `latest`: POSIX seconds."""

    method: str
    scope: dict[str, Any]
    latest: float

    @property
    def project_id(self) -> str | None:
        """The project that the token is for, `None` for a domain or for nothing."""
        project_id: str | None = _dig(self.scope, "project", "id")
        return project_id


class SignIns:
    """Knows what the account can sign in with and where to."""

    def __init__(self, access: Access, projects: Projects) -> None:
        self._access = access
        self._projects = projects
        self._methods = {
            "password": self._password,
            "token": self._token,
            "application_credential": self._application_credential,
            "assume_role": self._assume_role,
        }

    def judge(self, body: bytes, headers: Mapping[str, str]) -> Grant | Answer:
        """What a sign-in gets, or the answer that refuses it."""
        auth = _auth_of(body)
        method, given = _method_of(auth)
        if method not in self._methods or not isinstance(given, dict):
            return _BAD_REQUEST
        latest = self._methods[method](given, headers)
        if latest is None:
            return _WRONG_CREDENTIAL
        scope = self._scope(method, _dig(auth, "scope"))
        return _NO_SCOPE if scope is None else Grant(method, scope, latest)

    def project_of(self, body: bytes) -> str | None:
        """The project that a sign-in is for, whether it is granted or not; `None`: a domain, nothing, or none there."""
        auth = _auth_of(body)
        project = self._project(_method_of(auth)[0], _dig(auth, "scope"))
        return project.id if project else None

    # ---- who: the time until which a token can be good at most, `None` when the sign-in is refused -------------------

    def _password(self, given: dict[str, Any], headers: Mapping[str, str]) -> float | None:
        right = self._is_user(given.get("user")) and _dig(given, "user", "password") == self._access.account.password
        return float("inf") if right else None

    def _token(self, given: dict[str, Any], headers: Mapping[str, str]) -> float | None:
        return self._expiry_of(given.get("id"))

    def _application_credential(self, given: dict[str, Any], headers: Mapping[str, str]) -> float | None:
        known = self._access.account.application_credential
        by_name = given.get("name") == known.name and self._is_user(given.get("user"))
        right = (given.get("id") == known.id or by_name) and given.get("secret") == known.secret
        return float("inf") if right else None

    def _assume_role(self, given: dict[str, Any], headers: Mapping[str, str]) -> float | None:
        agency = self._access.account.agency
        # The vendor's two clouds call it differently.
        named = agency.name in (given.get("agency_name"), given.get("xrole_name"))
        delegates = given.get("domain_id") == agency.domain_id or given.get("domain_name") == agency.domain
        return self._expiry_of(headers.get("X-Auth-Token")) if named and delegates else None

    def _expiry_of(self, text: object) -> float | None:
        token = self._access.tokens.find(text) if isinstance(text, str) else None
        return token.expires if token and self._access.tokens.refusal(token) is None else None

    def _is_user(self, user: object) -> bool:
        account = self._access.account
        by_name = _dig(user, "name") == account.user and self._is_domain(_dig(user, "domain"))
        return by_name or _dig(user, "id") == account.user_id

    def _is_domain(self, domain: object) -> bool:
        account = self._access.account
        return bool(_dig(domain, "name") == account.domain or _dig(domain, "id") == account.domain_id)

    # ---- where to ----------------------------------------------------------------------------------------------------

    def _scope(self, method: str, wanted: object) -> dict[str, Any] | None:
        """The part of the token that says what it is good for: `project`, `domain`, or nothing; `None` refuses it."""
        domain = {"id": self._access.account.domain_id, "name": self._access.account.domain}
        project = self._project(method, wanted)
        if project is not None:
            good = project.enabled and not project.is_domain
            return {"project": {"id": project.id, "name": project.name, "domain": domain}} if good else None
        if _dig(wanted, "project") is not None or method == "application_credential":
            return None
        if _dig(wanted, "domain") is None:
            return {}
        return {"domain": domain} if self._is_domain(_dig(wanted, "domain")) else None

    def _project(self, method: str | None, wanted: object) -> Project | None:
        """The project of a scope, which wins over a domain. An application credential has its own, and no other."""
        if method == "application_credential":
            return self._projects.all[0] if wanted is None and self._projects.all else None
        project, domain = _dig(wanted, "project"), _dig(wanted, "project", "domain")
        by_id = self._projects.get(_dig(project, "id"))
        if by_id is not None or (domain is not None and not self._is_domain(domain)):
            return by_id
        return self._projects.named(_dig(project, "name"))


def _auth_of(body: bytes) -> object:
    try:
        return _dig(json.loads(body), "auth")
    except ValueError:
        return None


def _method_of(auth: object) -> tuple[str | None, Any]:
    """The name of the one method of a sign-in, and what is given for it; `None` where there is not exactly one."""
    methods = _dig(auth, "identity", "methods")
    if not isinstance(methods, list) or len(methods) != 1 or not isinstance(methods[0], str):
        return None, None
    return methods[0], _dig(auth, "identity", methods[0])


def _dig(data: object, *keys: str) -> Any:
    """What lies under these keys, one inside the other; `None` where one is missing."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data
