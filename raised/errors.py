"""Why no card can be raised from a dump."""

from __future__ import annotations


class NotRaisable(Exception):
    """The dump does not tell what card it is of."""
