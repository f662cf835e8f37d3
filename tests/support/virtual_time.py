"""The clock on which hours cost nothing, where the tests look for it."""

from __future__ import annotations

from sdrs_async.laboratory.virtual_time import VirtualTimeLoop, run_virtual

__all__ = ["VirtualTimeLoop", "run_virtual"]
