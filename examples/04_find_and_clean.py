"""Look at a project's failed tasks first, then find all groups of two accounts and delete theirs, within shared limits.

Runs offline: two simulated clouds, one signed in to with an access key, the other with a token.
"""

import asyncio

from sdrs_async import Account, AkSk, Limits, ListingError, Selection, StaticToken, connect
from sdrs_async.simulator import Simulator


async def main() -> None:
    """Clean two accounts in one session."""
    async with Simulator(projects=3, groups=20, seed=1) as one, Simulator(projects=2, groups=5, seed=2) as two:
        keys = one.environment
        key = AkSk(keys["HUAWEICLOUD_SDK_AK"], keys["HUAWEICLOUD_SDK_SK"])
        limits = Limits(project_rate="50/s")
        prod = Account("prod", one.url, key, iam_endpoint=one.url, limits=limits)
        lab = Account("lab", two.url, StaticToken(two.token), iam_endpoint=two.url, limits=limits)
        async with connect([prod, lab], concurrency=32) as session:
            async with session.lists() as lists:
                async for project in lists.projects(prod):
                    groups = [group async for group in lists.groups(prod, project.id)]
                    tasks = [task async for task in lists.failed_tasks(prod, project.id, groups[0].id)]
                    # `!r`: names and reasons come from the server and may hold anything, control characters too.
                    print(f"{project.name!r}: {len(groups)} groups; {groups[0].name!r}: {tasks[0].fail_reason!r}")
                try:
                    async for group in lists.groups(prod, "no-such-project"):
                        print(group)
                except ListingError as error:
                    print("not listed:", error)
            report = await session.clean({prod: Selection(project_level=True), lab: Selection(["eu-de*"])})
        print("left on the servers:", one.remaining + two.remaining)
    result = report.to_dict()
    print("targets:", result["targets"])
    print("of these at project level:", result["project_level"])
    print("found:", result["discovery"])
    raise SystemExit(report.exit_code)


if __name__ == "__main__":
    asyncio.run(main())
