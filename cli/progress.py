"""Progress bars, on stderr and only on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vmcoredd.cli.output import err

if TYPE_CHECKING:
    from vmcoredd.cudbg import Collected

Advance = Callable[[int, int], None]
"""Called with what is done and the total, in bytes."""


@contextmanager
def copying(what: str) -> Iterator[Advance]:
    """A bar that counts bytes."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(
        *columns, TransferSpeedColumn(), console=err, disable=not err.is_terminal
    ) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def preparing() -> Iterator[Callable[[str, float | None], None]]:
    """A bar for downloads and builds: what is being done, and how far it is (0 to 1, or None)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:
        task = bars.add_task("preparing", total=None)

        def show(what: str, fraction: float | None) -> None:
            known = None if fraction is None else 1.0
            bars.update(task, description=what, total=known, completed=fraction or 0)

        yield show


@contextmanager
def collecting(adapters: Sequence[str]) -> Iterator[Callable[[int, Collected, int, int], None]]:
    """A bar for each adapter that counts entities and names the one being collected."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, disable=not err.is_terminal) as bars:
        tasks = [bars.add_task(adapter, total=None) for adapter in adapters]

        def show(place: int, entity: Collected, number: int, total: int) -> None:
            done = number + 1 if entity.seconds else number
            what = f"{adapters[place]} {entity.name}"
            bars.update(tasks[place], completed=done, total=total, description=what)

        yield show


def saying() -> Callable[[str, float | None], None]:
    """Lines instead of a bar, one for each thing that is begun."""
    said: list[str] = []

    def say(what: str, _fraction: float | None) -> None:
        if said[-1:] != [what]:
            said.append(what)
            err.print(what, markup=False)

    return say
