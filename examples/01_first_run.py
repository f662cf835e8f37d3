"""Delete the failed tasks of a few protection groups and look at the report. Runs offline, on the simulator."""

import asyncio

from sdrs_async import Limits, StaticToken, clean
from sdrs_async.simulator import Fault, Simulator


async def main() -> None:
    """Clean two projects of ten groups each; one answer in five is a 503 at first."""
    async with Simulator(projects=2, groups=10, faults=[Fault("status", 0.2, status=503)]) as cloud:
        report = await clean(
            cloud.targets,  # any iterable of (project_id, server_group_id), an async one too
            endpoint=cloud.url,  # https://sdrs.eu-de.otc.t-systems.com, for instance
            auth=StaticToken(cloud.token),
            limits=Limits(project_rate="20/s"),
        )
        print("left on the server:", cloud.remaining)

    result = report.to_dict()
    print("targets:", result["targets"])
    print("answers:", result["status_codes"])
    print("requests:", result["requests"])
    for failure in result["failures"]:
        print(failure["project_id"], failure["server_group_id"], failure["verdict"], failure["message"])
    raise SystemExit(report.exit_code)


if __name__ == "__main__":
    asyncio.run(main())
