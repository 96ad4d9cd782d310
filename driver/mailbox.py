"""Firmware commands through a function's mailbox (t4_wr_mbox_meat_timeout())."""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable
from itertools import chain, repeat
from typing import TypeVar

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import MAILBOX_BYTES, DebugAssert, FwCommand, MailboxOwner, Op
from vmcoredd.chip.layout import sizeof, u64s
from vmcoredd.chip.pci import own_view
from vmcoredd.driver.errors import MailboxError
from vmcoredd.hw.device import MAILBOX_LOG_ENTRIES, MailboxEntry
from vmcoredd.hw.io import Io

_TIMEOUT_MS = 10_000  # FW_CMD_MAX_TIMEOUT
_DELAYS_MS = (1, 1, 3, 5, 10, 10, 20, 50, 100, 200)  # the last one repeats
_OWNER_RETRIES = 3  # extra reads while the mailbox has no owner
_WORDS = MAILBOX_BYTES // 8
CHANGING = (Op.RESET, Op.INITIALIZE, Op.CAPS_CONFIG)
"""Commands that would make a running adapter another one."""

C = TypeVar("C", bound=FwCommand)


class Mailbox:
    """The mailbox of physical function `pf`. `sleep` takes seconds.

    An `observer` leaves the adapter as it is: it sends no command of CHANGING, and does not stop an
    adapter whose firmware does not answer.
    """

    def __init__(
        self,
        io: Io,
        chip: Chip,
        pf: int,
        sleep: Callable[[float], None] = time.sleep,
        *,
        observer: bool = False,
    ) -> None:
        self._io, self._chip, self._pf, self._sleep = io, chip, pf, sleep
        self._observer = observer
        self._ctrl = chip.r.CIM_PF_MAILBOX_CTRL
        self._ctrl_offset = self._ctrl[pf]
        self._data_offset = int(chip.r.instances("CIM_PF_MAILBOX_DATA")[pf])
        self._log: deque[MailboxEntry] = deque(maxlen=MAILBOX_LOG_ENTRIES)
        self._seqno = 0

    @property
    def log(self) -> tuple[MailboxEntry, ...]:
        """The last 256 commands and replies, oldest first."""
        return tuple(self._log)

    def call(self, command: C) -> C:
        """Sends a command, waits up to 10 s for the reply, and returns it.

        Raises `MailboxError` with the firmware's error code, or with ENXIO (the firmware reports a
        fatal error), EBUSY (the firmware owns the mailbox), EIO (the firmware failed an assertion)
        or ETIMEDOUT. Raises `DeadDevice` if the transport fails.
        """
        name = _name(bytes(command)[0])
        if self._observer and bytes(command)[0] in CHANGING:  # whoever asks
            raise MailboxError(name, errno.EPERM, ": an observer does not send it")
        self._own(name, bytes(command))
        self._send(bytes(command))
        reply = self._reply(name, bytes(command))
        retval = reply[6]  # word 1, bits [15:8]
        if reply[0] == Op.DEBUG:
            raise MailboxError(name, errno.EIO, f": the firmware failed an assertion{_at(reply)}")
        if retval:
            raise MailboxError(name, retval, ": the firmware refused it")
        return type(command).from_bytes(reply)

    def _own(self, name: str, command: bytes) -> None:
        """Takes ownership: reading the control register of an unowned mailbox grants it."""
        if self._firmware_failed():
            raise self._failure(name, command, errno.ENXIO, ": firmware error")
        owner: int = MailboxOwner.NONE
        for _ in range(1 + _OWNER_RETRIES):
            owner = self._ctrl.get(self._io.read(self._ctrl_offset), "MBOwner")
            if owner != MailboxOwner.NONE:
                break
        if owner != MailboxOwner.DRV:
            code = errno.EBUSY if owner == MailboxOwner.FW else errno.ETIMEDOUT
            raise self._failure(name, command, code, ": the mailbox is not available")

    def _send(self, command: bytes) -> None:
        self._record(command, 0)
        for start in range(0, len(command), 8):
            word = int.from_bytes(command[start : start + 8], "big")
            self._io.write(self._data_offset + start, word, width=8)
        self._io.write(self._ctrl_offset, self._ctrl.of(MBMsgValid=1, MBOwner=MailboxOwner.FW))
        self._io.read(self._ctrl_offset)

    def _reply(self, name: str, command: bytes) -> bytes:
        """Waits until the driver owns the mailbox again and it holds a message."""
        waited = 0
        delays = chain(_DELAYS_MS, repeat(_DELAYS_MS[-1]))
        while True:
            if self._firmware_failed():
                self._stop(name, command, errno.ENXIO, ": firmware error")
            if waited >= _TIMEOUT_MS:
                self._stop(name, command, errno.ETIMEDOUT, f": no reply in {_TIMEOUT_MS} ms")
            delay = next(delays)
            self._sleep(delay / 1000)
            waited += delay
            word = self._io.read(self._ctrl_offset)
            if self._ctrl.get(word, "MBOwner") != MailboxOwner.DRV:
                continue
            if self._ctrl.get(word, "MBMsgValid"):
                return self._take(waited)
            self._io.write(self._ctrl_offset, 0)

    def _take(self, waited: int) -> bytes:
        words = u64s(self._io.read_run(self._data_offset, _WORDS, width=8))
        reply = b"".join(word.to_bytes(8, "big") for word in words)
        if reply[0] == Op.DEBUG:  # the kernel reads it again, to report it (fw_asrt())
            self._io.read_run(self._data_offset, sizeof(DebugAssert) // 8, width=8)
        self._io.write(self._ctrl_offset, 0)
        self._record(reply, waited)
        return reply

    def _stop(self, name: str, command: bytes, code: int, why: str) -> None:
        """Stops the adapter, as the kernel does when a command gets no reply (t4_fatal_err()); an
        observer only gives up."""
        failure = self._failure(name, command, code, why)
        if self._observer:
            raise failure
        self._firmware_failed()  # t4_report_fw_error()
        stop_adapter(self._io, self._chip, self._pf)
        raise failure

    def _firmware_failed(self) -> bool:
        pcie_fw = self._chip.r.PCIE_FW
        return bool(pcie_fw.get(self._io.read(pcie_fw), "ERR"))

    def _failure(self, name: str, command: bytes, code: int, why: str) -> MailboxError:
        self._record(command, -code)
        return MailboxError(name, code, why)

    def _record(self, message: bytes, execute: int) -> None:
        """Logs a command or reply, as t4_record_mbox()."""
        padded = message.ljust(MAILBOX_BYTES, b"\0")
        words = (padded[start : start + 8] for start in range(0, MAILBOX_BYTES, 8))
        numbers = tuple(int.from_bytes(word, "big") for word in words)
        now = max(1, time.monotonic_ns() // 1_000_000)
        self._log.append(MailboxEntry(numbers, now, self._seqno, access=0, execute=execute))
        self._seqno += 1


def stop_adapter(io: Io, chip: Chip, pf: int) -> None:
    """Switches off interrupts, LEDs, the port's signal and the scatter-gather engine.

    Does what t4_shutdown_adapter() does for one port, the kernel's assumption until the firmware
    reports more.
    """
    r = chip.r
    who = r.PL_WHOAMI.get(io.read(r.PL_WHOAMI), "SourcePF")
    io.write(own_view(r.PL_PF_INT_ENABLE), 0)
    _clear(io, r.PL_INT_MAP0, 1 << who)
    io.write(r.DBG_GPIO_EN, 0)
    port = r.MAC_PORT_CFG
    io.write(port[0], io.read(port[0]) & ~port.mask("Signal_Det"))
    _clear(io, r.SGE_CONTROL, r.SGE_CONTROL.mask("GlobalEnable"))


def _clear(io: Io, offset: int, bits: int) -> None:
    """Clears `bits` of a register and reads it back, as t4_set_reg_field()."""
    io.write(offset, io.read(offset) & ~bits)
    io.read(offset)


def _at(reply: bytes) -> str:
    """Returns where an assertion failed, as the kernel's log has it."""
    failed = DebugAssert.from_bytes(reply)
    file = ascii(bytes(failed.filename).partition(b"\0")[0].decode("latin-1"))[1:-1]
    return f" at {file}:{failed.line}, val0 {failed.x:#x}, val1 {failed.y:#x}"


def _name(opcode: int) -> str:
    return Op(opcode).name if opcode in Op._value2member_map_ else f"{opcode:#x}"
