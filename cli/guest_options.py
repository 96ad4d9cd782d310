"""The options of `vmcoredd guest` and their checks."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from vmcoredd.cli.named_cards import NamedCard, check_named_cards, port_counts
from vmcoredd.cli.options import CARD_HELP, chosen, known_scenes, named_card_completions, scenes
from vmcoredd.cli.output import visible_lines

MEMORY = re.compile(r"[1-9]\d*[MGmg]")
LEAST_MEMORY_MIB = 128
CRASHKERNEL = re.compile(
    r"[1-9]\d*[KMG](@\d+[KMG]?)?(,high|,low)?|[\dKMG:,-]*-[\dKMG:,-]*(@\d+[KMG]?)?"
)


def memory_size(value: str | None) -> str | None:
    """Checks the value of --memory. Raises BadParameter."""
    if value is None:
        return None
    if not MEMORY.fullmatch(value):
        raise typer.BadParameter(f"{value} is not a size such as 512M or 2G")
    if int(value[:-1]) << (10 if value[-1] in "Gg" else 0) < LEAST_MEMORY_MIB:
        raise typer.BadParameter(f"{value} is too little: Linux needs {LEAST_MEMORY_MIB}M to boot")
    return value


def _crashkernel(value: str) -> str:
    if not CRASHKERNEL.fullmatch(value):
        raise typer.BadParameter(f"{value} is not a size such as 256M, or 1G-4G:192M,4G-:256M")
    return value


def _writable_file(value: Path | None) -> Path | None:
    if value is None:
        return None
    existed = value.exists()
    if existed and not value.is_file() and not value.is_dir():
        raise typer.BadParameter(f"{value}: not a regular file")
    try:
        value.open("ab").close()
        if not existed:
            value.unlink()  # another option may still be wrong
    except OSError as error:
        raise typer.BadParameter(f"{value}: {error.strerror}") from error
    return value


def _new_socket(value: Path | None) -> Path | None:
    from vmcoredd.qemu.errors import GuestError
    from vmcoredd.qemu.session import check_socket

    try:
        if value and not check_socket(value).exists():
            _writable_file(value)
    except GuestError as error:
        raise typer.BadParameter(str(error)) from error
    return value


def _a_socket(value: Path) -> Path:
    if not value.is_socket():
        raise typer.BadParameter(f"{value}: {'not a socket' if value.exists() else 'no such file'}")
    return value


def _sockets(value: list[Path] | None) -> list[Path] | None:
    return value and [*map(_a_socket, value)]


def _folder(value: Path | None) -> Path | None:
    if value is None:
        return None
    try:
        value.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{value}: {error.strerror}") from error
    if not os.access(value, os.R_OK | os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{value}: {os.strerror(errno.EACCES)}")
    return value


NO_ROOT = "none"


def _root_folders(value: list[str] | None) -> list[str] | None:
    from vmcoredd.qemu.errors import GuestError
    from vmcoredd.qemu.root import check_folders

    if NO_ROOT in (value or ()) and value != [NO_ROOT]:
        raise typer.BadParameter(f"{NO_ROOT} stands alone: it shares no folder")
    try:
        check_folders(host_folders(value) or [])
    except GuestError as error:
        raise typer.BadParameter(visible_lines(str(error))) from error
    return value


_CARD = typer.Option(
    "--card",
    metavar="[NAME=]CARD",
    help=f"{CARD_HELP}; repeatable. Without a NAME the first is a, the second b.",
    callback=check_named_cards,
    autocompletion=named_card_completions,
)
Cards = Annotated[list[str], _CARD]
CardsIfAny = Annotated[list[str] | None, _CARD]
FirstSeed = Annotated[
    int,
    typer.Option(
        "--seed",
        help="The seed of the first card; the second has the next number, and so on. It selects "
        "one of many cards of the model; equal seeds give equal cards.",
    ),
]
Sockets = Annotated[
    list[Path] | None,
    typer.Option(
        "--socket",
        metavar="PATH",
        help="Instead of --card: the vfio-user socket of an adapter, or any device, that another "
        "program serves; repeatable.",
        callback=_sockets,
    ),
]
Module = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A module, such as cxgb4.ko, that replaces the kernel's own.",
    ),
]
Gdb = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Create a socket for gdb (`target remote PATH`); the kernel gets `nokaslr`.",
        callback=_new_socket,
    ),
]
OwnScene = Annotated[
    str | None,
    typer.Option(
        metavar="SCENE",
        help="What the cards have been through: crashed, or fresh (just powered on); by default "
        "fresh if the guest's first kernel has the driver.",
        callback=chosen("--scene", known_scenes),
        autocompletion=scenes,
    ),
]
HostFolders = Annotated[
    list[str] | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="A folder of this machine that the guest can read at the same path, instead of /usr "
        "and what belongs to it; repeatable. none: nothing is shared, copied or downloaded.",
        callback=_root_folders,
    ),
]
Memory = Annotated[
    str, typer.Option(metavar="SIZE", help="The guest's memory.", callback=memory_size)
]
MemoryForCards = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="The guest's memory.  [default: 1G, and 256M for each port whose interface may be up]",
        callback=memory_size,
    ),
]
Console = Annotated[
    Path,
    typer.Option(help="The file for the log of the guest's console.", callback=_writable_file),
]
Driver = Annotated[bool, typer.Option("--driver", help="Load cxgb4 in the guest first.")]
DriverOrNot = Annotated[
    bool | None,
    typer.Option(
        "--driver/--no-driver",
        help="Load cxgb4 in the guest first; by default with Debian's kernels, as their own "
        "systems do.",
    ),
]
NewSocket = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Create a socket for QEMU's monitor, for `guest memory` or `drgn --qemu PATH`.",
        callback=_new_socket,
    ),
]
ASocket = Annotated[
    Path, typer.Option(help="The socket of QEMU's monitor (QMP).", callback=_a_socket)
]
Share = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The folder that the guest sees as /share. Without it, what the guest saves there is "
        "kept as guest.share, beside the console's log.",
        callback=_folder,
    ),
]
Crashkernel = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="Memory reserved for the crash kernel: a size, or what crashkernel= takes.",
        callback=_crashkernel,
    ),
]
MapWindow = Annotated[
    bool | None,
    typer.Option(
        "--map-window/--no-map-window",
        help="Let the guest map the memory window: reading the card's memories is many times "
        "faster, and traffic slower (docs/how-to/live-adapter.md).  [default: yes for `guest "
        "kdump` without --wire and --traffic, else no]",
    ),
]
Traffic = Annotated[
    bool,
    typer.Option(
        "--traffic",
        help="Have traffic on all queues when the guest crashes. Without --wire, the ports of each "
        "card are joined in pairs.",
    ),
]


def check_adapters(
    cards: list[str] | None, sockets: list[Path] | None, of_cards: Mapping[str, object]
) -> None:
    """Raises BadParameter unless there are cards, or sockets without the options `of_cards`."""
    if bool(cards) == bool(sockets):
        which = "give one of the two, not both" if cards else "give one of the two"
        raise typer.BadParameter(which, param_hint="--card, --socket")
    for name, value in of_cards.items():
        if sockets and value:
            option = f"--{name.replace('_', '-')}"
            what = "what the adapters on sockets are is their server's; this needs --card"
            raise typer.BadParameter(what, param_hint=option)


def memory_for(cards: Sequence[NamedCard], chosen: str | None, *, up: bool = True) -> str:
    """Returns the guest's memory: as `chosen`, else enough for the interfaces that may be `up`."""
    from vmcoredd.qemu.prepare import memory_for as enough_for

    return chosen or enough_for(sum(port_counts(cards).values()) if up else 0)


def host_folders(values: Sequence[str] | None) -> list[Path] | None:
    """Returns the folders that --root names; None: the default."""
    if not values:
        return None
    return [] if list(values) == [NO_ROOT] else [Path(value) for value in values]
