"""What tests of a guest that crashes with traffic share: our own dump, and what a dump counts."""

from __future__ import annotations

from pathlib import Path

from vmcoredd import cudbg, driver, emu
from vmcoredd.chip.pci import ConfigHeader, PciCommand
from vmcoredd.qemu.prepare import serve_cards

SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}
"""Memories of a card, in MiB, each word of which a dump traps."""


def our_dump(card: emu.Card, folder: Path) -> cudbg.Dump:
    """Returns the dump of our driver, over a socket in `folder`, of a card before the kernel's."""
    _enable_intx(card)
    with serve_cards([card], folder) as (served,), driver.open(served.socket) as adapter:
        size, fill = adapter.device_dump()
        buffer = bytearray(size)
        fill(memoryview(buffer))
    return cudbg.Dump(buffer)


def _enable_intx(card: emu.Card) -> None:
    """Does what the crash kernel's pci_enable_device() does before the driver dumps."""
    at = ConfigHeader.command.offset
    command = int.from_bytes(card.config_read(at, 2), "little") & ~PciCommand.INTX_DISABLE
    card.config_write(at, command.to_bytes(2, "little"))


def port_counters(dump: cudbg.Dump) -> dict[tuple[int, str], int]:
    """Returns the counters of a dump by port and name; those of zero are left out."""
    _, counted = dump.decode("REG_DUMP").json()
    rows = [row for row in counted["rows"] if row["instance"].startswith("port ")]
    return {(int(row["instance"].split()[1]), row["counter"]): row["value"] for row in rows}
