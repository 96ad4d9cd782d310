"""Configuration space: capabilities and vital product data (drivers/pci/vpd.c)."""

from __future__ import annotations

import errno

from vmcoredd.chip.pci import Cap
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.io import Cell, Poll, Read, Space, Write

_CAPABILITIES = 0x34
_FIRST_CAPABILITY = 0x40
_CONFIG_BYTES = 256
_CAPABILITIES_MOST = 48

VPD_BYTES = 2048
"""What can be seen of the EEPROM (quirk_chelsio_extend_vpd())."""
_VPD_DONE = 1 << 31  # the flag, in the word that begins with the capability's id
_ADDRESS_SHIFT = 16
_ATTEMPTS, _DELAY_US = 125, 1000  # pci_vpd_wait(): 125 ms


def find_capability(config: Space, cap: Cap) -> int | None:
    """Where a capability begins."""
    space = config.read_run(0, _CONFIG_BYTES // 4)
    at = space[_CAPABILITIES] & ~3
    for _ in range(_CAPABILITIES_MOST):
        if at < _FIRST_CAPABILITY:
            return None
        if space[at] == cap:
            return at
        at = space[at + 1] & ~3
    return None


def update_register(config: Space, offset: int, clear: int, set_: int) -> None:
    """Clears and sets bits of a 16-bit control register. Its status register, in the upper half of
    the same word, has bits that only a 1 clears: it gets zeros."""
    config.write(offset, (config.read(offset) & 0xFFFF & ~clear) | set_)


def read_vpd(config: Space, capability: int | None, address: int, size: int) -> bytes:
    """Bytes of the vital product data, as many as there are up to their end (pci_read_vpd()).

    DeviceError -ENODEV without the capability, -ETIMEDOUT if the adapter does not fetch them.
    """
    if capability is None:
        raise DeviceError(-errno.ENODEV, "no vital product data")
    end = min(address + size, VPD_BYTES)
    rows = [word << _ADDRESS_SHIFT for word in range(address & ~3, end, 4)]
    data = config.run(
        [
            Write(capability, Cell()),
            Poll(capability, _VPD_DONE, _VPD_DONE, _ATTEMPTS, _DELAY_US, -errno.ETIMEDOUT),
            Read(capability + 4),
        ],
        rows,
    )
    return bytes(data[address % 4 : address % 4 + max(end - address, 0)])
