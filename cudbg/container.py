"""The layout of a dump: one header, one header per entity number, then the entities' data.

All numbers are in the byte order of the host that made the dump: little-endian on x86, the only one
that this package writes, and big-endian on some ppc64. Source: cudbg_lib_common.h, cudbg_zlib.h.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from vmcoredd.chip.layout import BigStruct, LittleStruct, i32, sizeof, u8, u16, u32, u64
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.errors import UnknownFormat, WrongSize

SIGNATURE = 67856866
ENTITY_SIGNATURE = 0xCCEDB001  # CUDBG_ENTITY_SIGNATURE
VERSION = (1, 14)
MAX_ENTITY = 72
DUMP_TYPE_MINI = 1
COMPRESSION_FASTLZ = 0
"""What FreeBSD's driver and the vendor's collector write; they know no other."""
COMPRESSION_NONE = 1
COMPRESSION_ZLIB = 2
PIECE_BYTES = 64512
"""Data are compressed, and memories are read, in pieces of this size (CUDBG_CHUNK_SIZE)."""
ZLIB_PIECE_ID = 17
DUMP_BYTES = 32 << 20
"""Room for data in a crash-time dump (CUDBG_DUMP_BUFF_SIZE)."""


class Header(LittleStruct):
    """struct cudbg_hdr."""

    _fields_ = (
        ("signature", u32),
        ("hdr_len", u32),
        ("major_ver", u16),
        ("minor_ver", u16),
        ("data_len", u32),
        ("hdr_flags", u32),
        ("max_entities", u16),
        ("chip_ver", u8),
        ("types", u8),  # dump_type [2:0], compress_type [7:4]
        ("reserved", u32 * 8),
    )

    @property
    def compress_type(self) -> int:
        """One of the constants COMPRESSION_..., as far as known."""
        types: int = self.types
        return types >> 4


class BigHeader(BigStruct):
    """struct cudbg_hdr of a big-endian host, whose compilers begin bit fields at the top bit."""

    _fields_ = Header._fields_

    @property
    def compress_type(self) -> int:
        """As in Header."""
        types: int = self.types
        return types & 0xF


class EntityHeader(LittleStruct):
    """struct cudbg_entity_hdr."""

    _fields_ = (
        ("entity_type", u32),
        ("start_offset", u32),
        ("size", u32),
        ("hdr_flags", i32),
        ("sys_warn", u32),
        ("sys_err", u32),
        ("num_pad", u8),
        ("flag", u8),
        ("reserved1", u8 * 2),
        ("next_ext_offset", u32),
        ("reserved", u32 * 5),
    )


class BigEntityHeader(BigStruct):
    """struct cudbg_entity_hdr of a big-endian host."""

    _fields_ = EntityHeader._fields_


class PieceHeader(LittleStruct):
    """struct cudbg_compress_hdr; the kernel writes only three of the members."""

    _fields_ = (
        ("compress_id", u32),
        ("padding", u32),
        ("decompress_size", u64),
        ("compress_size", u64),
        ("rsvd", u64 * 32),
    )


class BigPieceHeader(BigStruct):
    """struct cudbg_compress_hdr of a big-endian host."""

    _fields_ = PieceHeader._fields_


class Headers(NamedTuple):
    """The headers of a dump in the byte order of the host that made it."""

    byte_order: Literal["little", "big"]
    """`little` or `big`."""
    dump: type[Header | BigHeader]
    entity: type[EntityHeader | BigEntityHeader]
    piece: type[PieceHeader | BigPieceHeader]


LITTLE = Headers("little", Header, EntityHeader, PieceHeader)
BIG = Headers("big", BigHeader, BigEntityHeader, BigPieceHeader)


def headers_of(data: memoryview | bytes | bytearray) -> Headers | None:
    """Returns the headers of the dump that `data` begins with; None if it is no dump."""
    start = bytes(data[: sizeof(u32)])
    known = {SIGNATURE.to_bytes(4, "little"): LITTLE, SIGNATURE.to_bytes(4, "big"): BIG}
    return known.get(start)


class VersionHeader(LittleStruct):
    """struct cudbg_ver_hdr, which begins entities that have had several layouts.

    `size` counts the bytes after it. Some entities had no such header in their first layout.
    """

    _fields_ = (("signature", u32), ("revision", u16), ("size", u16))

    def set(self, revision: int, size: int) -> None:
        """Fills it in."""
        self.signature, self.revision, self.size = ENTITY_SIGNATURE, revision, size

    @classmethod
    def check(cls, name: str, blob: Bytes, revision: int, size: int) -> None:
        """Raises UnknownFormat unless entity `name` begins with this revision and size.

        To be called before the size of `blob` is checked, which differs between revisions.
        """
        if len(blob) < sizeof(cls):
            raise WrongSize(name, sizeof(cls) + size, len(blob))
        found = cls.from_bytes(blob[: sizeof(cls)])
        if found.signature != ENTITY_SIGNATURE:
            raise UnknownFormat(
                f"{name}: signature {found.signature:#x}, not {ENTITY_SIGNATURE:#x}"
            )
        if found.revision != revision:
            raise UnknownFormat(f"{name}: revision {found.revision}, known is {revision}")
        if found.size != size:
            raise UnknownFormat(f"{name}, after its header", size, found.size)


HEADER_BYTES = sizeof(Header)
ENTITY_HEADER_BYTES = sizeof(EntityHeader)
PIECE_HEADER_BYTES = sizeof(PieceHeader)
HEADERS_BYTES = HEADER_BYTES + MAX_ENTITY * ENTITY_HEADER_BYTES
"""The offset of the first entity's data."""
DUMP_SIZE = HEADERS_BYTES + DUMP_BYTES
"""The size the driver requests at crash time (cxgb4_cudbg_vmcore_add_dump())."""


def entity_header_offset(number: int) -> int:
    """Returns the offset of the header of entity `number` (from 1)."""
    if not 1 <= number <= MAX_ENTITY:
        raise ValueError(f"entity {number}: there are 1 to {MAX_ENTITY}")
    return HEADER_BYTES + (number - 1) * ENTITY_HEADER_BYTES
