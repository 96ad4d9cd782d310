"""What a fuzz part is: it makes a case of a seed, and runs cases.

A case is a dict of plain values, so it can be kept as JSON. `make` is a pure function of the seed;
a kept case does not depend on it and stays what it was when the generators change.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from typing import Any, Protocol

Case = dict[str, Any]
CORPUS = Path(__file__).parent / "corpus"
PARTS = (
    "server",
    "client",
    "engine",
    "devices",
    "files",
    "containers",
    "traces",
    "kills",
    "control",
)
SANITIZED = ("server", "client", "engine", "devices", "control")
"""The parts that run our C with input from outside."""


class Broken(Exception):
    """A case shows a defect; the text says which."""


class Part(AbstractContextManager["Part"], Protocol):
    """One kind of hostility. What is dear to start (a server, files) lives as long as the part."""

    def run(self, case: Case) -> None:
        """Runs a case; any exception is a defect, `Broken` one that the part looks for."""


def make(part: str, seed: int) -> Case:
    """Returns the case of a seed."""
    made: Case = _module(part).make(Random(f"{part} {seed}"))
    return made


def start(part: str, folder: Path) -> Part:
    """Returns the part, to be used as a context manager; `folder` is empty and its own."""
    started: Part = _module(part).Runner(folder)
    return started


def kept(part: str) -> Iterator[tuple[str, Case]]:
    """Yields the cases of the corpus, by name."""
    for path in sorted((CORPUS / part).glob("*.json")):
        yield path.stem, json.loads(path.read_text())["case"]


def keep(folder: Path, part: str, name: str, case: Case, found: str) -> Path:
    """Writes a case and what it found to a corpus in `folder`; returns the file."""
    path = folder / part / f"seed-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"found": found, "case": case}, indent=1) + "\n")
    return path


def _module(part: str) -> Any:
    return importlib.import_module(f"tests.fuzz.parts.{part}")
