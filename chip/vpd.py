"""Vital product data (VPD): the layout of the EEPROM, and the texts the driver keeps (t4_hw.c)."""

from __future__ import annotations

BASE, OLD_BASE = 0x400, 0
"""The data start at BASE if an identifier is there; on early cards they start at OLD_BASE."""
READ_BYTES = 1024
"""The number of bytes that the driver reads and parses from there."""
WINDOW_BYTES = 2048
"""The bytes that the PCI core makes readable (drivers/pci/vpd.c, quirk_chelsio_extend_vpd())."""
POLLS, POLL_DELAY_US = 125, 1000
"""How many times the capability's flag is read, and the interval (pci_vpd_wait(): 125 ms)."""
EEPROM_BYTES = 17408
COMMON_BYTES = 1024
FUNCTION_BYTES = 1024
"""The EEPROM, the part at its start that all functions share, and each function's own part."""

TAG_ID_STRING = 0x82
TAG_READ_ONLY = 0x90
TAG_END = 0x78
TAG_LARGE = 0x80
"""A tag with this bit is followed by a 16-bit length, lowest byte first; the end tag is not."""
LARGE_TAG_BYTES = 3
KEYWORD_BYTES = 3
"""A keyword's header: two letters and a length."""
ID_BYTES = 16
SN_BYTES = 24
PN_BYTES = 16
NA_BYTES = 12
"""The bytes the driver keeps of the identifier, serial number, part number and base MAC address (12
hex digits), without surrounding blanks."""

VERSION_ADDRESS = 0x18C7
"""Physical EEPROM address of the VPD's version, two decimal digits (CUDBG_VPD_VER_ADDR)."""
VERSION_BYTES = 2


def virtual_address(physical: int, pf: int) -> int:
    """Returns the address at which function `pf` sees a physical EEPROM address
    (t4_eeprom_ptov()). Raises ValueError beyond the EEPROM."""
    own = pf * FUNCTION_BYTES
    if physical < COMMON_BYTES:
        return physical + (31 << 10)
    if physical < COMMON_BYTES + own:
        return (31 << 10) - own + physical - COMMON_BYTES
    if physical < EEPROM_BYTES:
        return physical - COMMON_BYTES - own
    raise ValueError(f"EEPROM address {physical:#x}: it has {EEPROM_BYTES} bytes")
