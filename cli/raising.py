"""Raises a card from a file that the user names, and says what it is raised from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmcoredd.cli.exit_codes import about
from vmcoredd.cli.inputs import dump_of, opened
from vmcoredd.cli.output import err

if TYPE_CHECKING:
    from vmcoredd.raised import Lack, RaisedCard

From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="VMCORE",
        help="A vmcore, or a device dump alone: a card is raised that holds what it says.",
    ),
]
FromIndex = Annotated[
    int | None,
    typer.Option(
        "--index", metavar="N", help="With --from: the note's index; the first dump by default."
    ),
]


def raised_from(
    path: Path, index: int | None, *, map_window: bool = False, alive: bool = False
) -> RaisedCard:
    """Returns the card raised from a dump in a file, and says on stderr what it lacks, and where it
    will be lost. Raises as `vmcore.Reader`, NotRaisable."""
    from vmcoredd.cli.commands.show import first_dump
    from vmcoredd.cli.foreign import is_foreign
    from vmcoredd.raised import NotRaisable, raise_card

    with about(path), ExitStack() as files:
        reader = files.enter_context(opened(path))
        note = first_dump(reader, index, "--index")
        if is_foreign(reader, note):
            what = f"note {note.index} is another driver's dump: only cxgb4's tell of a card"
            raise NotRaisable(what)
        raised = raise_card(dump_of(reader, note), map_window=map_window, alive=alive)
        for line in _in_words(raised.lacks):
            err.print(f"{path}: {line}", markup=False)
        if raised.loss:
            what = f"lost during the dump, so this card is lost, too: {', '.join(raised.loss)}"
            err.print(f"{path}: {what}", markup=False)
        return raised


def _in_words(lacks: Iterable[Lack]) -> Iterator[str]:
    """Yields a line for each reason why parts of a raised card are 0."""
    reasons: dict[str, list[str]] = {}
    for lack in lacks:
        reasons.setdefault(lack.why, []).append(lack.what)
    for why, names in reasons.items():
        yield f"raised without {', '.join(names)}: {why}"


def check_index(path: Path | None, index: int | None) -> None:
    """Refuses an index without a file that it is of."""
    if index is not None and path is None:
        raise typer.BadParameter("it needs --from", param_hint="--index")
