"""The memories of cards that nobody has any more."""

from __future__ import annotations

import gc
import mmap
import os

from vmcoredd.emu.memory import Memfd


def memory_files() -> int:
    """Returns how many files of cards' memories this process has open."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{number}").startswith("/memfd:emu")
        except OSError:
            continue  # the descriptor of the listing itself
    return found


def test_forgotten_cards_keep_few_descriptors() -> None:
    """The collector does not run by itself here, as in a process with many objects."""
    gc.collect()
    before = memory_files()
    gc.disable()
    try:
        for _ in range(1000):
            forgotten: list[object] = [Memfd("test", mmap.PAGESIZE)]
            forgotten.append(forgotten)  # a cycle, as a card is
        assert memory_files() < before + 600
    finally:
        gc.enable()
