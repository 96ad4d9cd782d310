"""The tables of this package: plain CSV without quotes; the first line names the columns."""

from __future__ import annotations

import os

Row = dict[str, str]

_HERE = os.path.dirname(__file__)


def exists(folder: str, name: str) -> bool:
    """Whether there is a table `chip/<folder>/<name>.csv`."""
    return os.path.exists(os.path.join(_HERE, folder, f"{name}.csv"))


def lines(folder: str, name: str) -> list[str]:
    """The lines of a table, the one with the columns' names first."""
    with open(os.path.join(_HERE, folder, f"{name}.csv")) as file:
        return file.read().splitlines()


def rows(folder: str, name: str) -> list[Row]:
    """The rows of a table by their columns' names."""
    head, *body = lines(folder, name)
    columns = head.split(",")
    return [dict(zip(columns, line.split(","), strict=True)) for line in body]
