"""The public names of a module, by mkdocstrings from the source."""

from __future__ import annotations


def api(module: str) -> str:
    """Returns the directive that mkdocstrings replaces."""
    return f"::: {module}\n"
