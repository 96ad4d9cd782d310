"""What this version does not know of a dump as a whole: its chip, format, compression, byte order.

Such a dump is intact. Its entities are listed, but cannot all be decoded.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import T5, T6
from vmcoredd.cudbg.container import (
    COMPRESSION_NONE,
    COMPRESSION_ZLIB,
    VERSION,
    BigHeader,
    Header,
    Headers,
)
from vmcoredd.cudbg.entity import entities

_COMPRESSIONS = {COMPRESSION_NONE: "none", COMPRESSION_ZLIB: "zlib"}


def compression_name(header: Header | BigHeader) -> str:
    """Returns `none`, `zlib` or, if it is not known, `type 5`."""
    return _COMPRESSIONS.get(header.compress_type, f"type {header.compress_type}")


def compression_unknown(header: Header | BigHeader) -> Iterator[str]:
    """Yields why entities are not unpacked, if they are not."""
    if header.compress_type not in _COMPRESSIONS:
        yield f"compression {compression_name(header)}: only zlib is unpacked"


def chip_name(header: Header | BigHeader) -> str:
    """Returns the chip's generation, from the high nibble (CHELSIO_CHIP_CODE): `T6`."""
    return f"T{header.chip_ver >> 4}"


def chip_unknown(header: Header | BigHeader) -> Iterator[str]:
    """Yields why the chip's entities are not decoded, if they are not."""
    if header.chip_ver >> 4 not in (T5.version, T6.version):
        what = f"chip {chip_name(header)} ({header.chip_ver:#04x})"
        yield f"{what}: only entities of T5 and T6 are decoded"


def format_unknown(header: Header | BigHeader) -> Iterator[str]:
    """Yields why entities of this version of the format are not decoded, if they are not."""
    if header.major_ver != VERSION[0]:
        what = f"format {header.major_ver}.{header.minor_ver}"
        yield f"{what}: only entities of format {VERSION[0]} are decoded"


def byte_order_unknown(headers: Headers) -> Iterator[str]:
    """Yields why entities with the host's numbers are not decoded, if they are not."""
    if headers.byte_order != "little":
        decoded = ", ".join(name for name, known in entities().items() if not known.host_order)
        yield f"{headers.byte_order}-endian host: only {decoded} are decoded (the adapter's bytes)"


def unknowns(header: Header | BigHeader, headers: Headers) -> Iterator[str]:
    """Yields all that is not known, as sentences for the reader of a list of entities."""
    yield from compression_unknown(header)
    yield from format_unknown(header)
    yield from chip_unknown(header)
    yield from byte_order_unknown(headers)
    if header.major_ver == VERSION[0] and header.minor_ver != VERSION[1]:
        what = f"format {header.major_ver}.{header.minor_ver}"
        yield f"{what}: decoded as {VERSION[0]}.{VERSION[1]}"
