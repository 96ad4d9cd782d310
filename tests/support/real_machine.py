"""A guest whose emulated cards are real adapters to our driver, run there with this Python."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crashes import SMALL

from vmcoredd import cudbg, debs, emu, vmcore
from vmcoredd.chip.pci import CAP_AT, EXP_DEVCTL, EXP_DEVCTL2, Cap, ConfigHeader
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cudbg.compare import Difference, compare
from vmcoredd.cudbg.entities.pci import config_offsets
from vmcoredd.emu.control.client import Client
from vmcoredd.qemu.guest import Guest
from vmcoredd.qemu.own_python import command as vmcoredd
from vmcoredd.qemu.own_python import folders
from vmcoredd.qemu.prepare import Options, Prepared, serve_cards
from vmcoredd.qemu.root import find_root

BOOT, DRIVER, STEP, DUMP = 900.0, 1800.0, 600.0, 1800.0

WEDGED = ("sge-idma0-stuck", "ecc-uncorrectable-edc0")
"""What is broken in the card whose state has to survive VFIO. Its firmware runs: at a function
level reset it takes back what the driver had, and says so in its log; dead firmware would not."""
CONFIGURED = {
    ConfigHeader.command.offset,
    *range(ConfigHeader.bar.offset, ConfigHeader.cardbus_cis.offset, 4),
    ConfigHeader.interrupt_line.offset,
    CAP_AT[Cap.EXP] + EXP_DEVCTL,
    CAP_AT[Cap.EXP] + EXP_DEVCTL2,
}
"""The words of configuration space that the guest's firmware and kernel set, or a driver of its own
(bus mastering, the completion time-out), which ours of real adapters leaves alone."""

BEFORE = "before"
"""The name of the snapshot of a card before QEMU."""


@dataclass(frozen=True)
class Slot:
    """A card of the guest: its address there, and how to make an equal one."""

    address: str
    profile: str
    faults: tuple[str, ...] = ()
    scene: str = "crashed"

    def load(self) -> emu.Card:
        return emu.Card.load(
            self.profile, faults=self.faults, scene=self.scene, memory=SMALL, map_window=True
        )


@dataclass
class Machine:
    """The guest, its cards, and where its files come to."""

    guest: Guest
    folder: Path
    cards: dict[Slot, emu.Card]
    relaxed: bool = False
    """Whether its kernel lets programs map what a driver uses."""
    files: dict[str, Path] = field(default_factory=dict)

    def sys(self, slot: Slot, name: str) -> str:
        """A file of a function."""
        return f"/sys/bus/pci/devices/{slot.address}/{name}"

    def dump(self, name: str, *words: object) -> cudbg.Dump:
        """The dump of one adapter that the command makes in the guest."""
        return self.dumps(name, *words)[0]

    def dumps(self, name: str, *words: object) -> list[cudbg.Dump]:
        """The dumps that the command makes in the guest, in a file of that name."""
        line = vmcoredd("dump", *words, "-o", f"/share/{name}")
        done = self.guest.run(line, DUMP, check=False)
        assert done.code in (Exit.OK, Exit.INCOMPLETE), done.output
        path = self.files[name] = Path(shutil.move(self.guest.share / name, self.folder / name))
        with vmcore.Reader(path) as reader:
            return [cudbg.Dump(bytes(reader.payload(note.index))) for note in reader.device_dumps]

    def refused(self, *words: object) -> str:
        """What the command says that refuses in the guest; its exit code is that for it."""
        done = self.guest.run(vmcoredd("dump", *words, "-o", "/share/refused"), DUMP, check=False)
        assert done.code == Exit.UNAVAILABLE, done.output
        assert "Traceback" not in done.output
        assert not (self.guest.share / "refused").exists()
        return done.output


@contextlib.contextmanager
def booted(
    prepared: Prepared,
    slots: Sequence[Slot],
    folder: Path,
    progress: debs.Progress,
    *,
    arguments: str = "",
    crashkernel: str = "",
    iommu: bool = False,
) -> Iterator[Machine]:
    """Boots a guest with a card in each slot, and no driver loaded.

    QEMU resets each function as it starts; the cards then get back the state that they had before.
    """
    (folder / "guest").mkdir()
    cards = {slot: slot.load() for slot in slots}
    options = Options(
        memory="1536M",
        crashkernel=crashkernel,
        kernel_arguments=f"mitigations=off init_on_alloc=0 {arguments}",
        root=find_root(folders(), progress),
        iommu=iommu,
    )
    with serve_cards(list(cards.values()), folder) as adapters, contextlib.ExitStack() as stack:
        controls = [stack.enter_context(Client(adapter.socket)) for adapter in adapters]
        for control in controls:
            control.ask("snapshot", name=BEFORE)
        guest = stack.enter_context(
            prepared.guest(options, folder / "guest", folder / "console", adapters)
        )
        guest.wait_for_kernel("first", BOOT)
        for control in controls:
            control.ask("restore", name=BEFORE)
        yield Machine(guest, folder, cards)


def differing(real: cudbg.Dump, other: cudbg.Dump) -> set[str]:
    """The names of entities that differ."""
    return {item.name for item in compare(other, real) if isinstance(item, Difference)}


def assert_equal(real: cudbg.Dump, other: cudbg.Dump, slot: Slot) -> None:
    """Compares the entities of a dump with another's. In PCIE_CONFIG, CONFIGURED may differ."""
    names = {one.name for one in real.entities}
    assert names <= {one.name for one in other.entities}
    assert differing(real, other) & names <= {"PCIE_CONFIG"}
    offsets = config_offsets(slot.load().chip)
    words = [memoryview(bytes(one.raw("PCIE_CONFIG"))).cast("I") for one in (real, other)]
    differ = {at for at, one, two in zip(offsets, *words, strict=False) if one != two}
    assert differ <= CONFIGURED, differ
