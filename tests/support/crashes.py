"""What tests of a guest that crashes share: our dump beside the kernel's, and its counts."""

from __future__ import annotations

import struct
from pathlib import Path

from vmcoredd import cudbg, driver, emu
from vmcoredd.chip.pci import ConfigHeader, PciCommand
from vmcoredd.cudbg.compare import Difference, compare
from vmcoredd.qemu.prepare import serve_cards

SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}
"""Memories of a card, in MiB."""
SORTS_AS_WE_DO = "6.1."
"""The kernel whose `sort` leaves equal elements in the order in which our dump has them."""


def our_dump(card: emu.Card, folder: Path | None = None) -> cudbg.Dump:
    """Returns the dump of our driver of a card that the crash kernel's has not dumped yet.

    It is taken over a socket in `folder`, or without one beside the guest that the card serves.
    """
    _enable_intx(card)
    if folder is None:
        with driver.open_card(card) as adapter:
            return _dumped(adapter)
    with serve_cards([card], folder) as (served,), driver.open(served.socket) as adapter:
        return _dumped(adapter)


def _dumped(adapter: driver.Adapter) -> cudbg.Dump:
    size, fill = adapter.device_dump()
    buffer = bytearray(size)
    fill(memoryview(buffer))
    return cudbg.Dump(buffer)


def _enable_intx(card: emu.Card) -> None:
    """Does what the crash kernel's pci_enable_device() does before the driver dumps."""
    at = ConfigHeader.command.offset
    command = int.from_bytes(card.config_read(at, 2), "little") & ~PciCommand.INTX_DISABLE
    card.config_write(at, command.to_bytes(2, "little"))


def assert_same(kernels: cudbg.Dump, ours: cudbg.Dump, release: str) -> None:
    """Raises AssertionError if a dump by the kernel of this release differs from ours.

    The driver sorts MEMINFO's regions by base with the kernel's `sort`. We follow Linux 6.1; since
    6.2 or later, `sort` leaves equal elements in another order.
    """
    found = list(compare(kernels, ours))
    different = [item for item in found if isinstance(item, Difference)]
    if not release.startswith(SORTS_AS_WE_DO):
        different = [
            item
            for item in different
            if item.name != "MEMINFO" or not _same_words(kernels, ours, item.name)
        ]
    assert different == [], different
    assert len(found) == len(kernels.entities)


def _same_words(one: cudbg.Dump, other: cudbg.Dump, name: str) -> bool:
    """Returns True if an entity's words differ only in their order."""
    blobs = (bytes(one.blob(name)[:]), bytes(other.blob(name)[:]))
    return len({tuple(sorted(struct.iter_unpack("<I", blob))) for blob in blobs}) == 1


def port_counters(dump: cudbg.Dump) -> dict[tuple[int, str], int]:
    """Returns the counters of a dump by port and name; those of zero are left out."""
    _, counted = dump.decode("REG_DUMP").json()
    rows = [row for row in counted["rows"] if row["instance"].startswith("port ")]
    return {(int(row["instance"].split()[1]), row["counter"]): row["value"] for row in rows}
