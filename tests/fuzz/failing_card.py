"""A card whose registers fail after some reads: all ones, as after surprise removal, and others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from pyvfio_user import NativeAccess, Server
from tests.fuzz.case import Case
from vmcoredd import emu
from vmcoredd.driver._cffi import ffi
from vmcoredd.emu.server import attach

BAR0, CONFIG = 0, 7
WORDS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0xDEADBEEF)
Spoil = Callable[[bytes, Random], bytes]


def _flipped(data: bytes, random: Random) -> bytes:
    value = int.from_bytes(data, "little") ^ 1 << random.randrange(8 * len(data))
    return value.to_bytes(len(data), "little")


def _extreme(data: bytes, random: Random) -> bytes:
    return (random.choice(WORDS).to_bytes(4, "little") * (len(data) // 4 + 1))[: len(data)]


SPOILS: dict[str, Spoil] = {
    "ones": lambda data, random: b"\xff" * len(data),
    "zeros": lambda data, random: bytes(len(data)),
    "random": lambda data, random: random.randbytes(len(data)),
    "flipped": _flipped,
    "extreme": _extreme,
}
"""Of each way to fail: what a read returns instead of `data`."""


class FailingServer(Server):
    """Serves a card whose BAR0 fails as `failure` says.

    `after` reads, the reads of offsets in `low` to `high` fail with the chance `chance` per read;
    `config` says whether configuration space fails as well.
    """

    def __init__(self, path: Path, card: emu.Card, failure: Case) -> None:
        super().__init__(path, deadline=0.5)
        self._failure, self._random = failure, Random(failure["seed"])
        self._spoil = SPOILS[failure["how"]]
        self._left = failure["after"]
        attach(card, self)

    def region(self, index: int, size: int, access: Any, **options: Any) -> None:
        """Adds a region; BAR0 fails."""
        if index == BAR0:
            access = self._failing(access)
        super().region(index, size, access, **options)

    def config_space(self, initial: bytes, access: Any = None) -> None:
        """Sets configuration space, which may fail too."""
        if access is not None and self._failure["config"]:
            access = self._failing(access)
        super().config_space(initial, access)

    def _failing(self, native: NativeAccess) -> Callable[[int, memoryview, bool], None]:
        function = ffi.cast("region_access", native.fn)
        cookie = ffi.cast("void *", native.cookie)

        def access(offset: int, data: memoryview, is_write: bool) -> None:
            done = function(cookie, offset, ffi.from_buffer(data), len(data), is_write)
            if done < 0:
                raise OSError(-done, "refused")
            if not is_write and self._fails(offset):
                data[:] = self._spoil(bytes(data), self._random)

        return access

    def _fails(self, offset: int) -> bool:
        self._left -= 1
        failure = self._failure
        here = failure["low"] <= offset <= failure["high"]
        return self._left < 0 and here and self._random.random() < failure["chance"]
