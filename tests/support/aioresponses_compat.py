"""The one place that knows how aioresponses 0.7.9 and aiohttp >= 3.14 disagree.

aioresponses builds its `ClientResponse` without `stream_writer`, required since aiohttp 3.14 (upstream issue 289).
It also replaces `ClientSession._request`: client middlewares do not run under it, test these on the simulator.
"""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import Mock

from aiohttp import ClientResponse
from aioresponses import aioresponses
from yarl import URL

__all__ = ["FilledResponse", "Mocked", "mocked"]


class FilledResponse(ClientResponse):
    """A response that brings the argument aioresponses leaves out; a `CallbackResult` needs it as `response_class`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


class Mocked(aioresponses):
    """`aioresponses` whose answers are `FilledResponse` unless the caller says otherwise."""

    def add(self, url: URL | str | re.Pattern[str], *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("response_class", FilledResponse)
        super().add(url, *args, **kwargs)


def mocked() -> Mocked:
    """Return the context within which aiohttp's sessions get the answers that the test lays out."""
    return Mocked()
