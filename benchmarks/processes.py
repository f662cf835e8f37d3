"""A measurement in a process of its own, so that none of them pays for what another one left behind."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

from benchmarks.nginx import CLIENT_CPU, pin

__all__ = ["alone"]

P = ParamSpec("P")
T = TypeVar("T")


def alone(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The result of a function of a module, from a new process on the client's processor."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=pin, initargs=(CLIENT_CPU,)) as pool:
        return pool.submit(function, *arguments, **named).result()
