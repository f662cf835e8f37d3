"""An SDRS and IAM server of its own for tests, demonstrations and benchmarks.

    async with Simulator(projects=3, groups=4, faults=(Fault("status", 0.05),)) as sim:
        ...                       # requests to sim.url with sim.token
    assert sim.remaining == 0

It judges the client, so it shares no code with the rest of the package.
"""

from sdrs_async.simulator.faults import Fault
from sdrs_async.simulator.log import Entry
from sdrs_async.simulator.server import Simulator

__all__ = ["Entry", "Fault", "Simulator"]
