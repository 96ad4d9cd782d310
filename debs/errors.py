"""The error of this package."""

from __future__ import annotations


class Unavailable(Exception):
    """Something is not available on this machine: what, why, and the user's remedy."""

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(f"{what}: {why}. {remedy}")
        self.what = what
        self.why = why
        self.remedy = remedy
