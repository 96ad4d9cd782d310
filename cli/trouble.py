"""What keeps entities of a dump from being shown, or shown whole: it is collected, then reported at
the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vmcoredd.cli.exit_codes import Exit, report

if TYPE_CHECKING:
    from vmcoredd.cudbg import Decoded, Dump


class Trouble:
    """What keeps entities from being shown, by name: damage, or a format that is not known; and
    what keeps them from being shown whole."""

    def __init__(self) -> None:
        self.damage: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        self.in_part: dict[str, str] = {}

    def decoded(self, dump: Dump, name: str) -> Decoded | None:
        """Decodes entity `name`; what is left of it, if it is damaged; None if nothing can be."""
        from vmcoredd import cudbg

        found = None
        with self.of(name):
            found = dump.decode(name)
            if found.incomplete:
                self.in_part[name] = f"{name}: {found.incomplete}"
        if name in self.damage:
            with suppress(cudbg.CudbgError):
                found = dump.decode_remains(name)
        return found

    @property
    def names(self) -> set[str]:
        """The entities that have trouble."""
        return {*self.damage, *self.unknown, *self.in_part}

    def not_decoded(self, name: str) -> str | None:
        """Returns why an entity is not decoded, or how much of it is."""
        part = self.in_part.get(name, "").removeprefix(f"{name}: ")
        return self.unknown.get(name) or part or None

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Records trouble that the context has with entity `name`, and continues."""
        from vmcoredd import cudbg

        try:
            yield
        except cudbg.UnknownFormat as error:
            self.unknown[name] = str(error).removeprefix(f"{name}: ")
        except cudbg.DumpFormatError as error:
            text = str(error)
            self.damage[name] = text if text.startswith(name) else f"{name}: {text}"

    def report(self, path: Path) -> None:
        """Prints the trouble, if any, and ends the command."""
        for line in (*self.damage.values(), *self._not_decoded(), *self.in_part.values()):
            report(line, path)
        if self.damage:
            raise typer.Exit(Exit.BAD_FILE)
        if self.unknown or self.in_part:
            raise typer.Exit(Exit.INCOMPLETE)

    def _not_decoded(self) -> Iterator[str]:
        """Yields each reason once, with the entity that it keeps from being shown, or how many."""
        names: dict[str, list[str]] = {}
        for name, reason in self.unknown.items():
            names.setdefault(reason, []).append(name)
        for reason, group in names.items():
            what = f"{group[0]} is" if len(group) == 1 else f"{len(group):,} entities are"
            yield f"{what} not decoded: {reason}"
