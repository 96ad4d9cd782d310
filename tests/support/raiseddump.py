"""Dumps of emulated cards, and of the cards that are raised from them."""

from __future__ import annotations

from typing import Any

from vmcoredd import cudbg
from vmcoredd.cudbg.compare import Difference, compare
from vmcoredd.driver import Adapter
from vmcoredd.raised import raise_card


def dumped(adapter: Adapter, compress: str = "none", **limits: Any) -> bytes:
    buffer = memoryview(bytearray(cudbg.DUMP_SIZE))
    with adapter:
        report = adapter.collect(buffer, compress=compress, **limits)
    return bytes(buffer[: report.data_len])


def again(first: bytes, compress: str = "none") -> bytes:
    return dumped(raise_card(cudbg.Dump(memoryview(first))).open(), compress)


def assert_same(first: bytes, second: bytes) -> None:
    """Compares entity by entity, for the message, then byte by byte."""
    found = compare(cudbg.Dump(memoryview(first)), cudbg.Dump(memoryview(second)))
    assert [each for each in found if isinstance(each, Difference)] == []
    assert len(first) == len(second)
    assert first.startswith(second), "they differ outside of the entities"
