"""The serial flash behind SF_DATA and SF_OP (sf1_write(), sf1_read(), t4_read_flash())."""

from __future__ import annotations

import errno

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.io import Check, Io, Op, Poll, Read, Write

_READ_FAST = 0x0B
_READ_ID = 0x9F
_ATTEMPTS, _DELAY_US = 10, 5
FIRMWARE_START = 8 << 16
"""Where the firmware's image stands (FLASH_FW_START)."""


class Flash:
    """DeviceError -EBUSY where an operation is under way already, -EAGAIN where it does not end."""

    def __init__(self, io: Io, chip: Chip) -> None:
        self._io, self._data, self._op = io, chip.r.SF_DATA, chip.r.SF_OP

    def identify(self) -> int:
        """Manufacturer [7:0], type [15:8], density [23:16] (t4_get_flash_params())."""
        try:
            self._shift_out(1, _READ_ID, cont=True)
            return self._shift_in(3, lock=True)
        finally:
            self._unlock()

    def read_word(self, address: int, size: int) -> int:
        """The big-endian word at `address` of a flash of `size` bytes (t4_read_flash())."""
        if address + 4 > size or address % 4:
            raise DeviceError(-errno.EINVAL, f"flash address {address:#x}")
        command = int.from_bytes(address.to_bytes(4, "big"), "little") | _READ_FAST
        self._shift_out(4, command, cont=True)
        self._shift_in(1, cont=True)
        try:
            return self._shift_in(4, lock=True)
        finally:
            self._unlock()

    def _shift_out(self, count: int, value: int, *, cont: bool = False) -> None:
        op = self._op.of(ByteCnt=count - 1, Cont=cont, Op=1)
        self._run([Write(self._data, value), Write(self._op, op)], [])

    def _shift_in(self, count: int, *, cont: bool = False, lock: bool = False) -> int:
        op = self._op.of(ByteCnt=count - 1, Cont=cont, Lock=lock)
        return self._run([Write(self._op, op)], [Read(self._data)])[0]

    def _run(self, start: list[Op], end: list[Op]) -> tuple[int, ...]:
        busy = self._op.mask("Busy")
        idle = Check(self._op, busy, 0, error=-errno.EBUSY)
        done = Poll(self._op, busy, 0, attempts=_ATTEMPTS, delay_us=_DELAY_US)
        return u32s(self._io.run([idle, *start, done, *end]))

    def _unlock(self) -> None:
        self._io.write(self._op, 0)
