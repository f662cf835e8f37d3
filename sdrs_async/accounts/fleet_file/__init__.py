"""A fleet file: several clouds and accounts in TOML, for one run. `examples/fleet.toml` shows every key.

It holds no secret. Each account refers to its credential: variables of the environment, a cloud of clouds.yaml, or what
the vendor's SDK finds. Nothing is looked up here; that a variable is missing is what `missing_environment` says.
"""

from __future__ import annotations

from sdrs_async.accounts.fleet_file.fleet import FleetAccount, FleetFile, missing_environment
from sdrs_async.accounts.fleet_file.loading import parse_fleet, read_fleet

__all__ = ["FleetAccount", "FleetFile", "missing_environment", "parse_fleet", "read_fleet"]
