"""The IAM calls: signing in, the projects of the account, and the versions there are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from sdrs_async.simulator.access import Access
from sdrs_async.simulator.answers import Answer, document
from sdrs_async.simulator.ids import digest
from sdrs_async.simulator.projects import REGION, Projects
from sdrs_async.simulator.routes import Call
from sdrs_async.simulator.signature import SignedRequest
from sdrs_async.simulator.signin import Grant, SignIns
from sdrs_async.simulator.tokens import Token


class Iam:
    """Answers the IAM calls for one account and its projects. `url`: where this server is reached."""

    def __init__(self, access: Access, projects: Projects) -> None:
        self.url = ""
        self.sign_ins = SignIns(access, projects)
        self._access = access
        self._projects = projects
        self._calls = {
            "create_token": self._create_token,
            "list_own_projects": self._list_projects,
            "list_projects": self._list_projects,
            "list_versions": self._list_versions,
            "get_version": self._get_version,
        }

    def answer(self, call: Call, request: SignedRequest) -> Answer:
        """Do what is asked for and answer it."""
        return self._calls[call.route](request)

    def _create_token(self, request: SignedRequest) -> Answer:
        grant = self.sign_ins.judge(request.body, request.headers)
        if isinstance(grant, Answer):
            return grant
        token = self._access.tokens.issue(grant.project_id, grant.latest)
        shown = self._token_document(grant, token)
        if "nocatalog" not in dict(parse_qsl(request.query, keep_blank_values=True)):
            shown["catalog"] = self._catalog(grant)
        return document({"token": shown}, 201, {"X-Subject-Token": token.text})

    def _token_document(self, grant: Grant, token: Token) -> dict[str, Any]:
        account = self._access.account
        return {
            "methods": [grant.method],
            "issued_at": _timestamp(token.issued),
            "expires_at": _timestamp(token.expires),
            "user": {
                "id": account.user_id,
                "name": account.user,
                "domain": {"id": account.domain_id, "name": account.domain},
                "password_expires_at": "",
            },
            "roles": [{"id": digest(0, "role"), "name": "sdrs_adm"}] if grant.scope else [],
            **grant.scope,
        }

    def _catalog(self, grant: Grant) -> list[dict[str, Any]]:
        """The services a token reaches; SDRS is one of a project of this region, with a URL that ends in its id."""
        services = {"identity": f"{self.url}/v3"} if grant.scope else {}
        project = self._projects.get(grant.project_id)
        if project is not None and project.is_here:
            services["sdrs"] = f"{self.url}/v1/{project.id}"
        return [_service(name, url) for name, url in services.items()]

    def _list_projects(self, request: SignedRequest) -> Answer:
        name = dict(parse_qsl(request.query)).get("name")
        domain_id = self._access.account.domain_id
        found = [project for project in self._projects.all if name in (None, project.name)]
        links = {"self": f"{self.url}/v3/projects", "previous": None, "next": None}
        return document({"links": links, "projects": [project.document(domain_id, self.url) for project in found]})

    def _list_versions(self, request: SignedRequest) -> Answer:
        return document({"versions": {"values": [self._version()]}}, 300)

    def _get_version(self, request: SignedRequest) -> Answer:
        return document({"version": self._version()})

    def _version(self) -> dict[str, Any]:
        return {
            "id": "v3.6",
            "status": "stable",
            "updated": "2016-04-04T00:00:00Z",
            "links": [{"rel": "self", "href": f"{self.url}/v3/"}],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
        }


def _timestamp(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _service(name: str, url: str) -> dict[str, Any]:
    endpoint = {"id": digest(0, f"endpoint {url}"), "interface": "public", "region": REGION, "region_id": REGION}
    return {"id": digest(0, f"service {name}"), "type": name, "name": name, "endpoints": [{**endpoint, "url": url}]}
