"""How far the tests go that try things at random: `make soak` goes further (CONTRIBUTING.md)."""

from __future__ import annotations

import os

__all__ = ["CANCELS", "EXAMPLES", "SEED", "SEEDS"]

EXAMPLES = int(os.environ.get("SDRS_SOAK_EXAMPLES", "15"))
"""Of each property."""
SEEDS = int(os.environ.get("SDRS_SOAK_SEEDS", "25"))
"""Runs of the engine under random trouble."""
CANCELS = int(os.environ.get("SDRS_SOAK_CANCELS", "21"))
"""Runs that are cancelled, and `SEED`: at which moments."""
SEED = int(os.environ.get("SDRS_SOAK_SEED", "1"))
