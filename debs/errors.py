"""What can go wrong here."""

from __future__ import annotations


class Unavailable(Exception):
    """Something that cannot be had on this machine, why, and what a person can do about it."""

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(f"{what}: {why}. {remedy}")
        self.what = what
        self.why = why
        self.remedy = remedy
