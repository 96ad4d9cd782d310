"""Options that several commands share, and the values the shell completes for them.

A completion runs at every press of the Tab key, so it imports a room only for that room's names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Completions = list[tuple[str, str]]
"""Values and their explanations, which zsh and fish show."""


def _cards(incomplete: str) -> list[str]:
    from vmcoredd.emu.profile import profiles

    return [name for name in profiles() if name.startswith(incomplete)]


def _faults(incomplete: str) -> Completions:
    from vmcoredd.emu import faults

    found = faults().items()
    return [(name, fault.meaning) for name, fault in found if name.startswith(incomplete)]


def _entities(incomplete: str) -> list[str]:
    from vmcoredd.cudbg.entity import entities

    return [name for name in entities() if name.startswith(incomplete)]


def _entities_or_all(incomplete: str) -> list[str]:
    return [name for name in ("all",) if name.startswith(incomplete)] + _entities(incomplete)


def _kernels(incomplete: str) -> list[str]:
    from vmcoredd.qemu.kernel import SUITES

    return [name for name in SUITES if name.startswith(incomplete)]


def _compressions(incomplete: str) -> Completions:
    known = [("zlib", "as the driver compresses"), ("none", "no compression")]
    return [(name, meaning) for name, meaning in known if name.startswith(incomplete)]


CARD_HELP = "A card's name (`vmcoredd cards`) or its TOML file"

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]
OutputVmcore = Annotated[Path, typer.Option("--output", "-o", help="The vmcore to write.")]
InputVmcore = Annotated[Path, typer.Argument(metavar="VMCORE", help="The vmcore to read.")]
Card = Annotated[
    str, typer.Option("--card", metavar="CARD", help=f"{CARD_HELP}.", autocompletion=_cards)
]
Cards = Annotated[
    list[str],
    typer.Option("--card", metavar="CARD", help=f"{CARD_HELP}; repeatable.", autocompletion=_cards),
]
OptionalCards = Annotated[
    list[str] | None,
    typer.Option(
        "--card",
        metavar="CARD",
        help="An adapter to emulate in this process: a card's name or its TOML file; repeatable.",
        autocompletion=_cards,
    ),
]
Seed = Annotated[
    int, typer.Option(help="Selects a card of the model; equal seeds give equal cards.")
]
Faults = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="FAULT",
        help="Inject a fault (`vmcoredd cards --faults` lists them); repeatable.",
        autocompletion=_faults,
    ),
]
CollectedEntities = Annotated[
    list[str] | None,
    typer.Option(
        "--entity",
        metavar="NAME",
        help="Collect only this entity; repeatable.",
        autocompletion=_entities,
    ),
]
ShownEntities = Annotated[
    list[str] | None,
    typer.Option(
        "--entity",
        metavar="NAME",
        help="Decode this entity, or all; repeatable.",
        autocompletion=_entities_or_all,
    ),
]
Compression = Annotated[
    str,
    typer.Option(
        metavar="zlib|none", help="How to compress the dump.", autocompletion=_compressions
    ),
]
Kernel = Annotated[
    str,
    typer.Option(
        metavar="VERSION",
        help="The guest's kernel: 6.1, 6.12 or newest.",
        autocompletion=_kernels,
    ),
]


def path_or_name(card: str) -> str | Path:
    """Returns the value of --card as a path if it looks like one (a TOML file), else as a name."""
    return Path(card) if card.endswith(".toml") or "/" in card else card
