"""Attaches to the firmware of a real adapter, so that a dump has what `ethtool -w` collects.

Firmware that runs is greeted (HELLO) by a driver that does not want to be its master, and left
again (BYE). It is neither reset nor initialised. HELLO itself has an effect: firmware frees what a
driver of this function that died without BYE still had.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from vmcoredd.chip.firmware import Bye, Dev, Hello, Params, Pf, param
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.cudbg.driver_state import TidLayout
from vmcoredd.driver.errors import MailboxError
from vmcoredd.driver.mailbox import Mailbox
from vmcoredd.driver.real.errors import Refused
from vmcoredd.hw.device import AdapterFlag, Device
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.io import Io

WITHOUT = "dump it without --attach: no register of that dump needs the firmware"
_ANY_MASTER = 0xF


def attach(address: str, io: Io, device: Device, mailbox: Mailbox) -> Device:
    """Greets the firmware, and returns what a driver that has attached knows.

    Raises Refused if the firmware is dead, or runs but has not initialised the adapter, and
    DeadDevice.
    """
    _check_alive(address, io, device)
    try:
        hello = mailbox.call(Hello(masterdis=1, mbmaster=_ANY_MASTER, mbasyncnotint=1))
    except MailboxError as error:
        raise Refused(address, f"the firmware does not answer: {error}", WITHOUT) from error
    try:
        if hello.err or not hello.init:
            state = "reports an error" if hello.err else "has not initialised the adapter"
            raise Refused(address, f"the firmware runs, but {state}", WITHOUT)
        (cclk,) = _read(mailbox, device, param(Dev.CCLK))
        first, last = _read(mailbox, device, param(Pf.FILTER_START), param(Pf.FILTER_END))
    except MailboxError as error:
        detach(mailbox)
        raise Refused(address, f"the firmware does not tell: {error}", WITHOUT) from error
    except BaseException:
        detach(mailbox)
        raise
    known = TidLayout(ftid_base=first, nftids=last - first + 1 & U32_MASK)
    flags = device.flags | AdapterFlag.FW_OK
    return replace(device, attached=True, flags=flags, cclk_khz=cclk, tids=bytes(known))


def detach(mailbox: Mailbox) -> None:
    """Takes leave of the firmware, if it still answers."""
    with suppress(DeviceError):
        mailbox.call(Bye())


def _check_alive(address: str, io: Io, device: Device) -> None:
    """Raises Refused if the firmware itself says that it is dead (PCIE_FW)."""
    register = device.chip.r.PCIE_FW
    word = io.read(register)
    if register.get(word, "ERR") or word == U32_MASK:
        raise Refused(address, f"the firmware has crashed: PCIE_FW is {word:#010x}", WITHOUT)
    if register.get(word, "HALT"):
        raise Refused(address, f"the firmware is halted: PCIE_FW is {word:#010x}", WITHOUT)


def _read(mailbox: Mailbox, device: Device, *ids: int) -> list[int]:
    reply = mailbox.call(Params.reading(ids, pfn=device.pf))
    return [reply.param[i].val for i in range(len(ids))]
