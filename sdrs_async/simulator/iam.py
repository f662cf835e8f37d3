"""The IAM calls: signing in with a password, the projects of the account, and the versions there are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from sdrs_async.simulator.access import Access
from sdrs_async.simulator.answers import Answer, document, iam_error
from sdrs_async.simulator.ids import digest
from sdrs_async.simulator.routes import Call
from sdrs_async.simulator.state import Fleet

__all__ = ["REGION", "Iam"]

REGION = "eu-de"
# How long a token is good for.
_LIFE = timedelta(hours=24)
_WRONG_PASSWORD = iam_error(401, "The username or password is wrong.")
_NO_SCOPE = iam_error(401, "The user has no access to the project or domain of the scope.")
_BAD_REQUEST = iam_error(400, "The request body is not a sign-in with a password.")


class Iam:
    """Answers the IAM calls for one account and the projects of a fleet. `url`: where this server is reached."""

    def __init__(self, access: Access, fleet: Fleet) -> None:
        self.url = ""
        self._access = access
        self._fleet = fleet
        self._calls = {
            "create_token": self._create_token,
            "list_own_projects": self._list_projects,
            "list_projects": self._list_projects,
            "list_versions": self._list_versions,
            "get_version": self._get_version,
        }

    def answer(self, call: Call, query: str, body: bytes) -> Answer:
        """Do what is asked for and answer it."""
        return self._calls[call.route](query, body)

    def _create_token(self, query: str, body: bytes) -> Answer:
        auth = _auth_of(body)
        user = _dig(auth, "identity", "password", "user")
        if _dig(auth, "identity", "methods") != ["password"] or not isinstance(user, dict):
            return _BAD_REQUEST
        if not self._knows(user):
            return _WRONG_PASSWORD
        scope = self._scope(_dig(auth, "scope"))
        if scope is None:
            return _NO_SCOPE
        token = self._token_document(scope)
        if "nocatalog" not in dict(parse_qsl(query, keep_blank_values=True)):
            token["catalog"] = self._catalog(scope)
        return document({"token": token}, 201, {"X-Subject-Token": self._access.issue()})

    def _knows(self, user: dict[str, Any]) -> bool:
        account = self._access.account
        by_id = user.get("id") == account.user_id
        by_name = user.get("name") == account.user and self._is_domain(user.get("domain"))
        return (by_id or by_name) and user.get("password") == account.password

    def _is_domain(self, domain: object) -> bool:
        account = self._access.account
        return bool(_dig(domain, "name") == account.domain or _dig(domain, "id") == account.domain_id)

    def _scope(self, scope: object) -> dict[str, Any] | None:
        """The part of the token that says what it is good for: `project`, `domain`, or nothing; `None` refuses it."""
        project, domain = _dig(scope, "project"), _dig(scope, "domain")
        if project is not None:
            found = (one for one in self._projects() if _dig(project, "id") == one["id"] or self._named(project, one))
            one = next(found, None)
            return one and {"project": {"id": one["id"], "name": one["name"], "domain": self._domain()}}
        if domain is not None:
            return {"domain": self._domain()} if self._is_domain(domain) else None
        return {}

    def _named(self, wanted: object, project: dict[str, Any]) -> bool:
        domain = _dig(wanted, "domain")
        return _dig(wanted, "name") == project["name"] and (domain is None or self._is_domain(domain))

    def _domain(self) -> dict[str, str]:
        return {"id": self._access.account.domain_id, "name": self._access.account.domain}

    def _token_document(self, scope: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC)
        account = self._access.account
        return {
            "methods": ["password"],
            "issued_at": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
            "expires_at": f"{now + _LIFE:%Y-%m-%dT%H:%M:%S.%fZ}",
            "user": {
                "id": account.user_id,
                "name": account.user,
                "domain": self._domain(),
                "password_expires_at": "",
            },
            "roles": [{"id": digest(0, "role"), "name": "sdrs_adm"}] if scope else [],
            **scope,
        }

    def _catalog(self, scope: dict[str, Any]) -> list[dict[str, Any]]:
        """The services a token reaches; SDRS is one of a project, and its URL ends in the project's id."""
        services = {"identity": f"{self.url}/v3"} if scope else {}
        if "project" in scope:
            services["sdrs"] = f"{self.url}/v1/{scope['project']['id']}"
        return [_service(name, url) for name, url in services.items()]

    def _list_projects(self, query: str, body: bytes) -> Answer:
        name = dict(parse_qsl(query)).get("name")
        found = [project for project in self._projects() if name is None or project["name"] == name]
        links = {"self": f"{self.url}/v3/projects", "previous": None, "next": None}
        return document({"links": links, "projects": found})

    def _projects(self) -> list[dict[str, Any]]:
        domain = self._access.account.domain_id
        return [
            {
                "id": project_id,
                # The built-in project has the name of the region, the others start with it.
                "name": f"{REGION}_project{number}" if number else REGION,
                "domain_id": domain,
                "parent_id": domain,
                "enabled": True,
                "is_domain": False,
                "description": "",
                "links": {"self": f"{self.url}/v3/projects/{project_id}"},
            }
            for number, project_id in enumerate(self._fleet.project_ids)
        ]

    def _list_versions(self, query: str, body: bytes) -> Answer:
        return document({"versions": {"values": [self._version()]}}, 300)

    def _get_version(self, query: str, body: bytes) -> Answer:
        return document({"version": self._version()})

    def _version(self) -> dict[str, Any]:
        return {
            "id": "v3.6",
            "status": "stable",
            "updated": "2016-04-04T00:00:00Z",
            "links": [{"rel": "self", "href": f"{self.url}/v3/"}],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
        }


def _service(name: str, url: str) -> dict[str, Any]:
    endpoint = {"id": digest(0, f"endpoint {url}"), "interface": "public", "region": REGION, "region_id": REGION}
    return {"id": digest(0, f"service {name}"), "type": name, "name": name, "endpoints": [{**endpoint, "url": url}]}


def _auth_of(body: bytes) -> object:
    try:
        return _dig(json.loads(body), "auth")
    except ValueError:
        return None


def _dig(data: object, *keys: str) -> Any:
    """What lies under these keys, one inside the other; `None` where one is missing."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data
