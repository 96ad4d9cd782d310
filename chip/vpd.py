"""Vital product data: the EEPROM's layout, and the keywords the driver needs (t4_hw.c)."""

from __future__ import annotations

BASE = 0x400
"""Where the adapter's data begin, if an identifier string does; early cards had them at 0."""
READ_BYTES = 1024
"""What the driver reads and parses from there on."""
WINDOW_BYTES = 2048
"""What the PCI core lets be read (drivers/pci/vpd.c, quirk_chelsio_extend_vpd())."""
EEPROM_BYTES = 17408
FUNCTION_BYTES = 1024
"""The EEPROM, and each physical function's own part of it."""

TAG_ID_STRING = 0x82
TAG_READ_ONLY = 0x90
TAG_READ_WRITE = 0x91
TAG_END = 0x78
"""Large tags are followed by a 16-bit length, lowest byte first; the end tag stands alone."""
LARGE_TAG_BYTES = 3
KEYWORD_BYTES = 3
"""A keyword: two letters and a length."""

KEYWORDS = {
    "EC": "engineering change",
    "SN": "serial number",
    "PN": "part number",
    "NA": "base MAC address in 12 hex digits",
    "RV": "checksum and room",
}
"""Those of Chelsio's cards; the driver needs SN, PN, NA and RV."""
REQUIRED = ("SN", "PN", "NA", "RV")
ID_BYTES = 16
SN_BYTES = 24
PN_BYTES = 16
NA_BYTES = 12
"""What the driver keeps of each; blanks around are cut off."""

VERSION_ADDRESS = 0x18C7
"""Physical EEPROM address of the VPD's version, two decimal digits (CUDBG_VPD_VER_ADDR)."""
VERSION_BYTES = 2


def virtual_address(physical: int, pf: int) -> int:
    """Where a physical EEPROM address stands for a function (t4_hw.c, t4_eeprom_ptov()).

    ValueError beyond the EEPROM.
    """
    own = pf * FUNCTION_BYTES
    if physical < 1024:
        return physical + (31 << 10)
    if physical < 1024 + own:
        return 31744 - own + physical - 1024
    if physical < EEPROM_BYTES:
        return physical - 1024 - own
    raise ValueError(f"EEPROM address {physical:#x}: it has {EEPROM_BYTES} bytes")
