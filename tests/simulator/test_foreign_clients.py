"""Clients that are not ours work against the simulator unchanged: what judges our client is judged by others.

The vendor's client and openstacksdk with otcextensions each list groups and failed tasks, delete one failed task, those
of a group, and those of the project. They block, so they run in a thread beside the simulator's loop. A trap of
otcextensions that is kept clear of: without an id string it cannot delete a failed task that it has listed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdrs_async.simulator import Simulator

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

# openstacksdk warns of its own future, and keystoneauth of the plugin for agencies, which is otcextensions'.
OPENSTACK_WARNINGS = pytest.mark.filterwarnings(
    "ignore::PendingDeprecationWarning", "ignore::DeprecationWarning:keystoneauth1.identity.v3.base"
)

JOBS = [
    "list_groups",
    "list_failures",
    "list_failures",
    "delete_failure",
    "delete_group_failures",
    "delete_project_failures",
]


def fleet(**options: Any) -> Simulator:
    """Two projects with three groups each."""
    return Simulator(projects=2, groups=3, failed_tasks=3, **options)


async def check(work: Callable[[Simulator], None], *before: str, **options: Any) -> None:
    """Run the work of a client in the first project, and hold what the simulator has and has logged against it."""
    async with fleet(**options) as sim:
        await asyncio.to_thread(work, sim)
        project = sim.targets[0][0]
        assert [sim.failed_tasks(*target) for target in sim.targets] == [2, 0, 3, 3, 3, 3]
        assert [entry.route for entry in sim.log] == [*before, *JOBS]
        assert all(entry.status is not None and 200 <= entry.status < 300 for entry in sim.log)
        assert {entry.project_id for entry in sim.log[len(before) :]} == {project}
        assert (sim.failed_tasks(project), sim.failed_tasks(sim.targets[-1][0])) == (0, 3)


# ---- the vendor's client ---------------------------------------------------------------------------------------------


class Vendor:
    """`huaweicloudsdksdrs` with an access key. Its asynchronous client gives a future for each answer."""

    def __init__(self, *, in_background: bool, region: bool) -> None:
        self._in_background = in_background
        self._region = region

    def __call__(self, sim: Simulator) -> None:
        """All jobs in their order."""
        from huaweicloudsdksdrs.v1 import model

        client = self._client(sim)

        def call(name: str, request: Any) -> Any:
            if self._in_background:
                return getattr(client, f"{name}_async")(request).result()
            return getattr(client, name)(request)

        groups = call("list_protection_groups", model.ListProtectionGroupsRequest(limit=50)).server_groups
        assert [group.id for group in groups] == [group for _, group in sim.targets[:3]]
        own = call("list_failure_jobs", model.ListFailureJobsRequest()).failure_jobs
        assert {job.resource_type for job in own} == {"server_groups"}
        inner = call("list_failure_jobs", model.ListFailureJobsRequest(server_group_id=groups[0].id, limit=10))
        assert (inner.count, len(inner.failure_jobs)) == (3, 3)
        call("delete_failure_job", model.DeleteFailureJobRequest(inner.failure_jobs[0].job_id))
        call("delete_server_group_failure_jobs", model.DeleteServerGroupFailureJobsRequest(groups[1].id))
        call("delete_all_server_group_failure_jobs", model.DeleteAllServerGroupFailureJobsRequest())

    def _client(self, sim: Simulator) -> Any:
        from huaweicloudsdkcore.auth.credentials import BasicCredentials
        from huaweicloudsdkcore.region.region import Region
        from huaweicloudsdksdrs.v1 import SdrsAsyncClient, SdrsClient

        kind = SdrsAsyncClient if self._in_background else SdrsClient
        env = sim.environment
        credentials = BasicCredentials(env["HUAWEICLOUD_SDK_AK"], env["HUAWEICLOUD_SDK_SK"])
        if self._region:
            builder = kind.new_builder().with_region(Region("eu-de", sim.url))
            credentials = credentials.with_iam_endpoint(sim.url)
        else:
            builder = kind.new_builder().with_endpoint(sim.url)
            credentials = credentials.with_project_id(sim.targets[0][0])
        return builder.with_credentials(credentials).build()


@pytest.mark.parametrize("in_background", [False, True])
async def test_the_vendor_s_client_works_with_a_project_id(in_background: bool) -> None:
    """With an access key and a given endpoint."""
    await check(Vendor(in_background=in_background, region=False))


@pytest.mark.parametrize("in_background", [False, True])
async def test_the_vendor_s_client_finds_the_project_of_a_region(in_background: bool) -> None:
    """It asks IAM for the project that is called like the region, with a signature too."""
    # Another seed for each client: the library remembers for a key which project it has found.
    await check(
        Vendor(in_background=in_background, region=True), "list_projects", seed=301 + in_background, decoys=True
    )


def from_environment(sim: Simulator) -> None:
    """All from variables: key, IAM's address and that of the service."""
    from huaweicloudsdksdrs.v1 import SdrsClient, model
    from huaweicloudsdksdrs.v1.region.sdrs_region import SdrsRegion

    client = SdrsClient.new_builder().with_region(SdrsRegion.value_of("eu-de")).build()
    groups = client.list_protection_groups(model.ListProtectionGroupsRequest()).server_groups
    assert [group.id for group in groups] == [group for _, group in sim.targets[:3]]


async def test_the_vendor_s_client_takes_what_simulate_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the simulator are enough for it."""
    async with fleet(seed=303) as sim:
        for name, value in sim.environment.items():
            monkeypatch.setenv(name, value)
        await asyncio.to_thread(from_environment, sim)
        assert [(entry.route, entry.status) for entry in sim.log] == [("list_projects", 200), ("list_groups", 200)]


def with_temporary_key(sim: Simulator) -> None:
    """One list with the key that has a security token."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdksdrs.v1 import SdrsClient, model

    access_key, secret_key, security_token = sim.temporary_key
    credentials = BasicCredentials(access_key, secret_key, sim.targets[0][0]).with_security_token(security_token)
    client = SdrsClient.new_builder().with_endpoint(sim.url).with_credentials(credentials).build()
    assert client.list_protection_groups(model.ListProtectionGroupsRequest()).count == 3


async def test_the_vendor_s_client_works_with_a_temporary_key() -> None:
    """It signs the security token too."""
    async with fleet() as sim:
        await asyncio.to_thread(with_temporary_key, sim)
        assert [(entry.status, entry.credential) for entry in sim.log] == [(200, sim.temporary_key.access_key)]


# ---- openstacksdk with otcextensions ---------------------------------------------------------------------------------


def connected(**options: Any) -> Any:
    """A connection that knows the services of the other cloud."""
    import openstack
    from otcextensions import sdk

    connection = openstack.connect(**options)
    sdk.register_otc_extensions(connection)
    return connection


def with_openstack(sim: Simulator) -> None:
    """All jobs in their order."""
    with connected(cloud="simulated") as cloud:
        groups = [group.id for group in cloud.sdrs.protection_groups()]
        assert groups == [group for _, group in sim.targets[:3]]
        assert {job.resource_type for job in cloud.sdrs.failed_tasks()} == {"server_groups"}
        inner = list(cloud.sdrs.failed_tasks(server_group_id=groups[0]))
        assert len(inner) == 3
        cloud.sdrs.delete_failed_task(inner[0].job_id)
        assert cloud.sdrs.delete_protection_group_tasks(groups[1]).status_code == 204
        assert cloud.sdrs.delete_all_failed_tasks().status_code == 204


def write_cloud(folder: Path, monkeypatch: pytest.MonkeyPatch, auth_type: str, url: str, **auth: str) -> None:
    """A clouds.yaml (JSON is YAML) with one cloud, and the variable that points to it."""
    cloud = {"auth_type": auth_type, "region_name": "eu-de", "auth": {"auth_url": url, **auth}}
    path = folder / "clouds.yaml"
    path.write_text(json.dumps({"clouds": {"simulated": cloud}}), "utf-8")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))


def password(sim: Simulator) -> dict[str, str]:
    """What `auth` says for a user with a password."""
    env = sim.environment
    return {
        "username": env["OS_USERNAME"],
        "password": env["OS_PASSWORD"],
        "user_domain_name": env["OS_USER_DOMAIN_NAME"],
    }


@OPENSTACK_WARNINGS
async def test_openstacksdk_with_otcextensions_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With user and password of a clouds.yaml; one sign-in for the project."""

    def work(sim: Simulator) -> None:
        domain = sim.environment["OS_PROJECT_DOMAIN_NAME"]
        scope = {"project_name": "eu-de", "project_domain_name": domain}
        write_cloud(tmp_path, monkeypatch, "password", f"{sim.url}/v3", **password(sim), **scope)
        with_openstack(sim)

    await check(work, "get_version", "create_token")


@OPENSTACK_WARNINGS
@pytest.mark.parametrize("auth_type", ["v3password", "v3token", "v3applicationcredential", "agency", "environment"])
async def test_openstacksdk_signs_in_with_every_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auth_type: str
) -> None:
    """Each gets a token of the first project, with which it lists the groups of it."""
    async with fleet() as sim:
        project, application, agency = sim.targets[0][0], sim.application_credential, sim.agency
        auth: dict[str, dict[str, str]] = {
            "v3password": {**password(sim), "project_id": project},
            "v3token": {"token": sim.token, "project_id": project},
            "v3applicationcredential": {
                "application_credential_id": application.id,
                "application_credential_secret": application.secret,
            },
            "agency": {
                **password(sim),
                "target_agency_name": agency.name,
                "target_domain_name": agency.domain,
                "target_project_name": "eu-de",
            },
        }
        if auth_type == "environment":
            # openstacksdk takes a token or a password, never both, and no project by itself.
            for name, value in sim.environment.items():
                monkeypatch.setenv(name, value)
            monkeypatch.delenv("OS_TOKEN")
            monkeypatch.setenv("OS_PROJECT_NAME", "eu-de")
        else:
            write_cloud(tmp_path, monkeypatch, auth_type, f"{sim.url}/v3", **auth[auth_type])

        def work() -> list[str]:
            with connected(cloud=None if auth_type == "environment" else "simulated") as cloud:
                return [group.id for group in cloud.sdrs.protection_groups()]

        assert await asyncio.to_thread(work) == [group for _, group in sim.targets[:3]]
        assert [entry.project_id for entry in sim.log if entry.route == "create_token"][-1] == project
        assert {entry.status for entry in sim.log} <= {200, 201}
