"""Cards and device dumps that are small enough to be made often."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tests.support.cliruns import SMALL_CARD
from vmcoredd import cudbg
from vmcoredd.cudbg.decoded import Table, Text
from vmcoredd.cudbg.errors import CudbgError


def profile(folder: Path) -> Path:
    """Writes the profile of a small T6; returns its path."""
    path = folder / "small.toml"
    path.write_text(SMALL_CARD)
    return path


def good(dump: cudbg.Dump) -> set[str]:
    """Returns the names of the entities with data."""
    return {entity.name for entity in dump.entities if entity.good}


def decode(dump: cudbg.Dump) -> None:
    """Decodes every entity, to the last row.

    A decoder may refuse content as damaged; anything else that it raises is raised here.
    """
    for entity in dump.entities:
        with suppress(CudbgError):
            for part in dump.decode(entity.name):
                content = part.rows if isinstance(part, Table) else ()
                content = part.lines if isinstance(part, Text) else content
                for _ in content:
                    pass
