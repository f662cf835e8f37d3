"""The terminal as rich draws on it, with the streams as this command has them."""

from __future__ import annotations

import sys

from rich.console import Console

from sdrs_async.command.streams import give_up


class Screen(Console):
    """A console on stdout, or on stderr, that goes on without a word when nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Instead of rich's own way, which exits with 1 whatever the job came to."""
        give_up(sys.stderr if self.stderr else sys.stdout)
