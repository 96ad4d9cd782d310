"""The mailboxes, one for each physical function, through which drivers talk to the firmware.

Reading the control register of an idle mailbox claims it for the driver. Writing it with MBMsgValid
and the firmware as owner sends the command in the data registers; the firmware gives the mailbox
back with its reply. The data registers hold big-endian 64-bit words, which the bus shows as
little-endian ones (t4_hw.c, t4_wr_mbox_meat_timeout()).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from vmcoredd.chip.firmware import MAILBOX_BYTES, MailboxOwner, Retval
from vmcoredd.chip.pci import PF
from vmcoredd.emu.firmware import Firmware, Mode, free_function, links
from vmcoredd.emu.silicon.arguments import one_of
from vmcoredd.emu.silicon.model import Model, fault, reads, writes

WORD64_BYTES = 8
OTHER_PF = 0
"""A function that is not the driver's."""
REFUSALS = {each.name: each for each in Retval if each is not Retval.SUCCESS}


class Once(Enum):
    """What becomes of one command, if it is neither answered nor refused."""

    LOST = "lost"
    ASSERTED = "asserted"


class Mailboxes(Model):
    """Control and data registers of all functions, and the firmware behind them."""

    def make(self) -> None:
        self.delayed: dict[int, int] = {}
        """Polls until a slow firmware replies, by function."""
        self.hears: list[Callable[[int], None]] = []
        """Hear of the opcode of each command, before the firmware does."""
        self.after_reset = 0
        """What the function's control register shows after a reset."""
        self.once: dict[str, Retval | Once] = {}
        """What becomes of the next commands, instead of an answer, by the faults that say so."""

    def wire(self) -> None:
        r = self.r
        engine = self.core.engine
        self.firmware = Firmware(self.spaces, self.scenario, self.memories, engine)
        links.boot(self.firmware)
        for data in r.instances("CIM_PF_MAILBOX_DATA"):
            self.spaces.plain(data)
        self.spaces.plain(r.CIM_PF_HOST_INT_ENABLE)

    @reads("CIM_PF_MAILBOX_CTRL")
    def poll(self, element: int, stored: int) -> int:
        """Claims an idle mailbox; a slow firmware replies after some polls."""
        ctrl = self.r.CIM_PF_MAILBOX_CTRL
        if ctrl.get(stored, "MBOwner") == MailboxOwner.NONE:
            self._control(element, ctrl.of(MBOwner=MailboxOwner.DRV))
        if element in self.delayed:
            self.delayed[element] -= 1
            if not self.delayed[element]:
                del self.delayed[element]
                self._execute(element)
        return self.spaces.get(ctrl, element)

    @writes("CIM_PF_MAILBOX_CTRL")
    def send(self, element: int, value: int) -> int:
        """Gives the mailbox to the firmware with a command, or releases it."""
        self._control(element, value)
        ctrl = self.r.CIM_PF_MAILBOX_CTRL
        if ctrl.get(value, "MBMsgValid") and ctrl.get(value, "MBOwner") == MailboxOwner.FW:
            for hear in [*self.hears]:
                hear(_swapped(bytes(self._data(element)[:WORD64_BYTES]))[0])
            if not self.core.c.gone:  # one of them has removed the card
                self._take(element)
        return self.spaces.get(ctrl, element)

    def _take(self, pf: int) -> None:
        mode = self.firmware.state.mode
        if mode is Mode.ALIVE:
            self._execute(pf)
        elif mode is Mode.SLOW:
            self.delayed[pf] = Firmware.SLOW_POLLS

    def _control(self, pf: int, value: int) -> None:
        self.spaces.set(self.r.CIM_PF_MAILBOX_CTRL, value, pf)
        self.spaces.set(self.r.CIM_PF_MAILBOX_CTRL_SHADOW_COPY, value, pf)

    def _execute(self, pf: int) -> None:
        ctrl, once = self.r.CIM_PF_MAILBOX_CTRL, self._spend()
        if once is Once.LOST:
            self._control(pf, ctrl.of(MBOwner=MailboxOwner.NONE))
            return
        self.core.windows.sync()
        data = self._data(pf)
        command = _swapped(bytes(data))
        if once is Once.ASSERTED:
            reply = self.firmware.fail_assertion(command)
        else:
            reply = self.firmware.execute(pf, command, once)
        data[:] = _swapped(reply)
        self._control(pf, ctrl.of(MBMsgValid=1, MBOwner=MailboxOwner.DRV))
        self.core.windows.sync()

    def _spend(self) -> Retval | Once | None:
        """Takes what becomes of one command, of the fault that came first."""
        if not self.once:
            return None
        first = next(iter(self.once))
        self.spent(first)
        return self.once.pop(first)

    def _data(self, pf: int) -> memoryview:
        register = self.r.instances("CIM_PF_MAILBOX_DATA")[pf]
        first = self.core.bar0.index(register)
        words = self.core.bar0.words[first : first + MAILBOX_BYTES // 4]
        return words.cast("B")

    def reset(self) -> None:
        """Makes the function's mailbox idle, and frees what the firmware allocated to it."""
        self.delayed.pop(PF, None)
        self._control(PF, self.after_reset)
        free_function(self.firmware, PF)

    def save(self) -> Any:
        return dict(self.delayed), self.after_reset, dict(self.once), self.firmware.save()

    def load(self, saved: Any) -> None:
        delayed, self.after_reset, once, firmware = saved
        self.delayed, self.once = dict(delayed), dict(once)
        self.firmware.load(firmware)

    @fault("mailbox-taken", "The firmware owns the mailbox and keeps it: -EBUSY for every command.")
    def withhold(self) -> None:
        self.after_reset = self.r.CIM_PF_MAILBOX_CTRL.of(MBOwner=MailboxOwner.FW)
        self._control(PF, self.after_reset)

    @fault("firmware-dead", "The firmware takes commands and never replies: 10 s time-outs.")
    def die(self) -> None:
        self.firmware.set_mode(Mode.DEAD)

    @fault("firmware-slow", "The firmware replies only after some polls of the mailbox.")
    def be_slow(self) -> None:
        self.firmware.set_mode(Mode.SLOW)

    @fault(
        "firmware-loses-command",
        "The firmware gives the mailbox back without a reply, once: a 10 s time-out.",
    )
    def lose_command(self) -> None:
        """That it gives it back is assumed. The driver claims it again, and polls in vain."""
        self.once["firmware-loses-command"] = Once.LOST

    @fault(
        "firmware-asserts",
        "The next mailbox command is answered by a failed assertion of the firmware: -EIO.",
    )
    def fail_assertion(self) -> None:
        """As FW_DEBUG_CMD tells it (t4_hw.c, fw_asrt()); the firmware goes on."""
        self.once["firmware-asserts"] = Once.ASSERTED

    @fault(
        "firmware-retval",
        "The firmware refuses the next mailbox command with this return value.",
        takes=one_of("RETVAL", "a return value of the firmware", "EBUSY", REFUSALS),
    )
    def refuse_command(self, retval: Retval) -> None:
        self.once[f"firmware-retval={retval.name}"] = retval

    @fault("firmware-error", "The firmware has crashed, as PCIE_FW shows: -ENXIO at once.")
    def crash(self) -> None:
        self.firmware.set_mode(Mode.ERROR)

    @fault("firmware-uninitialised", "The driver has to initialise the firmware.")
    def uninitialise(self) -> None:
        self.firmware.state.initialised = self.firmware.state.caps_agreed = False
        self.firmware.show()

    @fault(
        "firmware-other-master",
        "Function 0 is master already: a driver that does not insist may not set up the device.",
    )
    def give_away(self) -> None:
        self.firmware.state.master = OTHER_PF
        self.firmware.show()

    @fault("no-devlog-pointer", "PCIE_FW_PF[7] is 0: DEV_LOG asks the firmware where the log is.")
    def lose_log(self) -> None:
        self.firmware.state.log_is_shown = False
        self.firmware.show()


def _swapped(data: bytes) -> bytes:
    """Returns the data with the bytes of each 64-bit word reversed."""
    return b"".join(data[i : i + WORD64_BYTES][::-1] for i in range(0, len(data), WORD64_BYTES))
