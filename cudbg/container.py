"""The layout of a dump: one header, one header per entity number, then the entities' data.

All numbers are little-endian. Source: cudbg_lib_common.h, cudbg_zlib.h.
"""

from __future__ import annotations

from vmcoredd.chip.layout import LittleStruct, i32, sizeof, u8, u16, u32, u64
from vmcoredd.cudbg.errors import DumpFormatError

SIGNATURE = 67856866
ENTITY_SIGNATURE = 0xCCEDB001  # CUDBG_ENTITY_SIGNATURE
VERSION = (1, 14)
MAX_ENTITY = 72
DUMP_TYPE_MINI = 1
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
        """COMPRESSION_NONE or COMPRESSION_ZLIB in a valid dump."""
        types: int = self.types
        return types >> 4


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


class PieceHeader(LittleStruct):
    """struct cudbg_compress_hdr; the kernel writes only three of the members."""

    _fields_ = (
        ("compress_id", u32),
        ("padding", u32),
        ("decompress_size", u64),
        ("compress_size", u64),
        ("rsvd", u64 * 32),
    )


class VersionHeader(LittleStruct):
    """struct cudbg_ver_hdr, which begins entities that have had several layouts.

    `size` counts the bytes after it.
    """

    _fields_ = (("signature", u32), ("revision", u16), ("size", u16))

    def set(self, revision: int, size: int) -> None:
        """Fills it in."""
        self.signature, self.revision, self.size = ENTITY_SIGNATURE, revision, size

    def check(self, name: str, revision: int, size: int) -> None:
        """Raises DumpFormatError unless it announces this revision and size of entity `name`."""
        if self.signature != ENTITY_SIGNATURE:
            raise DumpFormatError(
                f"{name}: signature {self.signature:#x}, not {ENTITY_SIGNATURE:#x}"
            )
        if self.revision != revision:
            raise DumpFormatError(f"{name}: revision {self.revision}, known is {revision}")
        if self.size != size:
            raise DumpFormatError(f"{name}, after its header", size, self.size)


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
