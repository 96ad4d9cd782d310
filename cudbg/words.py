"""Bytes as words, lowest byte first."""

from __future__ import annotations

import struct


def u16s(data: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """The 16-bit words of `data`."""
    return struct.unpack(f"<{len(data) // 2}H", data)


def u32s(data: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """The 32-bit words of `data`."""
    return struct.unpack(f"<{len(data) // 4}I", data)


def u64s(data: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """The 64-bit words of `data`."""
    return struct.unpack(f"<{len(data) // 8}Q", data)


def signed(word: int) -> int:
    """The low 32 bits as a signed number."""
    word &= 0xFFFFFFFF
    return word - (1 << 32) if word >> 31 else word
