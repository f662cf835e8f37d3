"""What the library needs around it while it runs."""

from __future__ import annotations

import asyncio

from sdrs_async.errors import ConfigError

__all__ = ["check_loop"]


def check_loop() -> None:
    """Raise `ConfigError` unless the caller is a task of asyncio; a loop that trio runs beside its own is no help."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is None:
        raise ConfigError(
            "sdrs_async runs on asyncio, also with uvloop; under trio, start it in a thread of its own with "
            "asyncio.run(...)"
        )
