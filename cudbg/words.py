"""Bytes as words, lowest byte first."""

from __future__ import annotations

import struct


def u32s(data: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """The 32-bit words of `data`."""
    return struct.unpack(f"<{len(data) // 4}I", data)


def u64s(data: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """The 64-bit words of `data`."""
    return struct.unpack(f"<{len(data) // 8}Q", data)
