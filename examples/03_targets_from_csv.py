"""Targets from a CSV file, read line by line while the run goes on. Runs offline, on the simulator.

The command does this by itself, and checks the whole file first: `sdrs-async clean --targets groups.csv ...`.
"""

import asyncio
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sdrs_async import ConfigError, StaticToken, Target, clean
from sdrs_async.simulator import Simulator


def targets(path: Path) -> Iterator[Target]:
    """One target per row of a file with the columns `project_id` and `server_group_id`; others are ignored."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            yield Target(row["project_id"], row["server_group_id"])


async def main(path: Path) -> None:
    """Write the file as an export would have it, then clean what it lists."""
    async with Simulator(projects=3, groups=5) as cloud:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["project_id", "server_group_id", "owner"])
            writer.writerows([project, group, "team-a"] for project, group in cloud.targets)

        report = await clean(targets(path), endpoint=cloud.url, auth=StaticToken(cloud.token))
        print("first run:", report.to_dict()["targets"])

        # A row that would turn the call into the project-wide one stops the run; what was done before is reported.
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{cloud.targets[0][0]},batch,typo\n")
        try:
            await clean(targets(path), endpoint=cloud.url, auth=StaticToken(cloud.token))
        except ConfigError as error:
            print("second run:", error)
            print("until then:", error.report and error.report.to_dict()["targets"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder, "groups.csv")))
