"""A card that a process of its own serves for a guest, and how far the guest's driver has come."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib.resources import files
from pathlib import Path

from vmcoredd.debs import children
from vmcoredd.emu.control import Client, ControlError, RequestRefused, beside
from vmcoredd.qemu.errors import RunError
from vmcoredd.qemu.guest import Adapter
from vmcoredd.qemu.program import address

from .cases import CARDS, MEMORY

IDLE = "idle"
"""The name of the snapshot of a card whose guest has booted, without a driver."""

DEADLINE = 60.0
"""Seconds for a request: many faults are undone at once."""


class Level(IntEnum):
    """How far a card's driver has come."""

    IDLE = 0
    BOUND = 1
    OPENED = 2
    JOINED = 3


@dataclass
class Served:
    """A card, its control socket, and its driver's level; None: it is not known."""

    chip: str
    number: int
    adapter: Adapter
    control: Client
    level: Level | None = None

    @property
    def device(self) -> str:
        """The card's address in the guest."""
        return address(self.number, behind_port=True)

    def booted(self) -> None:
        """Keeps the state of the card for `restore`."""
        self.control.ask("snapshot", name=IDLE)
        self.level = Level.IDLE

    def restore(self) -> None:
        """Makes the card what it was when the guest had booted."""
        self.control.ask("restore", name=IDLE)
        self.level = Level.IDLE

    def fail(self, faults: Sequence[str]) -> str:
        """Switches faults on; returns why that cannot be. A card may be busy or gone with them."""
        try:
            for fault in faults:
                self.control.ask("fault", on=[fault])
        except RequestRefused as error:
            return "" if error.busy else f"cannot come: {str(error).rpartition(': ')[2]}"
        except ControlError:
            pass
        return ""

    def undo(self) -> None:
        """Undoes the faults that are on, as far as that can be."""
        with contextlib.suppress(ControlError, RequestRefused):
            self.control.ask("fault", off=self.control.ask("fault")["faults"])


@contextlib.contextmanager
def served(chip: str, number: int, folder: Path) -> Iterator[Served]:
    """Serves the chip's card, as good as new, its two ports joined by a wire. Raises RunError."""
    profile, socket, log = (folder / f"{chip}.{kind}" for kind in ("toml", "sock", "log"))
    profile.write_text(_small(CARDS[chip]))
    emulate = [sys.executable, "-m", "vmcoredd", "emulate"]
    options = ["--scene", "fresh", "--map-window", "--wire", "0=1", "--seed", str(number)]
    command = [*emulate, "--card", str(profile), "--socket", str(socket), *options]
    with (
        log.open("wb") as file,
        subprocess.Popen(
            children.bound(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file
        ) as process,
    ):
        try:
            assert process.stdout
            if not process.stdout.readline():
                raise RunError("the card is not served", log)
            with Client(beside(socket), DEADLINE) as control:
                yield Served(chip, number, Adapter(socket, process.pid, log), control)
        finally:
            process.kill()


def _small(name: str) -> str:
    """Returns a profile with little memory."""
    text = (files("vmcoredd.emu") / "cards" / f"{name}.toml").read_text()
    head, _, rest = text.partition("[memory]")
    _, bracket, after = rest.partition("\n[")
    sizes = "".join(f"{key} = {size}\n" for key, size in MEMORY.items())
    return f"{head}[memory]\n{sizes}{bracket}{after}"
