"""What the pages' markers `<!-- site: NAME WORDS -->` stand for: Markdown, made from the code."""

from __future__ import annotations

from collections.abc import Callable

from made.api import api

MAKERS: dict[str, Callable[..., str]] = {"api": api}
