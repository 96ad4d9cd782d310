"""The error of this package."""

from __future__ import annotations


class Unavailable(Exception):
    """This machine lacks something; the message names it, the reason, and the user's remedy."""

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(f"{what}: {why}. {remedy}")
        self.what = what
        self.why = why
        self.remedy = remedy
