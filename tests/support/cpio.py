"""Reads a cpio archive. It is written from the format alone; guests' tests use the kernel's."""

from __future__ import annotations


def read(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Name to (mode, content), in the archive's order, including the trailer."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while at < len(data):
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        assert data[at + 110 + name_size - 1] == 0
        at = -(-(at + 110 + name_size) // 4) * 4
        found[name] = (mode, data[at : at + size])
        at = -(-(at + size) // 4) * 4
    return found
