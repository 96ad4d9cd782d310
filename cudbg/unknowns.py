"""What this version does not know of a dump as a whole: its chip, format, compression, byte order.

Each `..._unknown` returns a sentence for the reader of a list of entities; empty if it is known.
Such a dump is intact. Its entities are listed, but cannot all be decoded.
"""

from __future__ import annotations

from vmcoredd.chip import T5, T6
from vmcoredd.cudbg.container import (
    COMPRESSION_FASTLZ,
    COMPRESSION_NONE,
    COMPRESSION_ZLIB,
    VERSION,
    BigHeader,
    Header,
    Headers,
)
from vmcoredd.cudbg.entity import entities

_COMPRESSIONS = {
    COMPRESSION_FASTLZ: "FastLZ",
    COMPRESSION_NONE: "none",
    COMPRESSION_ZLIB: "zlib",
}


def compression_name(header: Header | BigHeader) -> str:
    """Returns `none`, `zlib`, `FastLZ` or, if it is not known, `type 5`."""
    return _COMPRESSIONS.get(header.compress_type, f"type {header.compress_type}")


def compression_unknown(header: Header | BigHeader) -> str:
    """Returns why entities are not unpacked."""
    if header.compress_type in _COMPRESSIONS:
        return ""
    return f"compression {compression_name(header)}: only zlib and FastLZ are unpacked"


def generation(header: Header | BigHeader) -> int:
    """Returns the chip's generation: the high nibble (CHELSIO_CHIP_CODE), 6 for a T6.

    FreeBSD writes the generation alone, into the low nibble.
    """
    return int(header.chip_ver >> 4 or header.chip_ver)


def revision(header: Header | BigHeader) -> int | None:
    """Returns the chip's revision, the low nibble; None if only the generation is there."""
    return int(header.chip_ver & 0xF) if header.chip_ver >> 4 else None


def chip_name(header: Header | BigHeader) -> str:
    """Returns the chip's generation: `T6`."""
    return f"T{generation(header)}"


def chip_unknown(header: Header | BigHeader) -> str:
    """Returns why the chip's entities are not decoded."""
    if generation(header) in (T5.version, T6.version):
        return ""
    what = f"chip {chip_name(header)} ({header.chip_ver:#04x})"
    return f"{what}: only entities of T5 and T6 are decoded"


def version_name(header: Header | BigHeader) -> str:
    """Returns the version of the format: `1.14`."""
    return f"{header.major_ver}.{header.minor_ver}"


def format_unknown(header: Header | BigHeader) -> str:
    """Returns why entities of this version of the format are not decoded."""
    if header.major_ver == VERSION[0]:
        return ""
    return f"format {version_name(header)}: only entities of format {VERSION[0]} are decoded"


def byte_order_unknown(headers: Headers) -> str:
    """Returns why entities with the host's numbers are not decoded."""
    if headers.byte_order == "little":
        return ""
    decoded = ", ".join(name for name, known in entities().items() if not known.host_order)
    return f"{headers.byte_order}-endian host: only {decoded} are decoded (the adapter's bytes)"


def _minor_unknown(header: Header | BigHeader) -> str:
    if header.major_ver != VERSION[0] or header.minor_ver == VERSION[1]:
        return ""
    return f"format {version_name(header)}: decoded as {VERSION[0]}.{VERSION[1]}"


def unknowns(header: Header | BigHeader, headers: Headers) -> tuple[str, ...]:
    """Returns all that is not known."""
    found = (
        compression_unknown(header),
        format_unknown(header),
        chip_unknown(header),
        byte_order_unknown(headers),
        _minor_unknown(header),
    )
    return tuple(filter(None, found))
