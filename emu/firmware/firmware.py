"""The firmware itself: takes commands, answers them, and says in registers how it is."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

from vmcoredd.chip.devlog import DEVLOG_PF, Facility, Level
from vmcoredd.chip.firmware import MAILBOX_BYTES, Command, Retval, command_of
from vmcoredd.chip.firmware.message import Header
from vmcoredd.chip.layout import sizeof
from vmcoredd.emu.firmware import boot
from vmcoredd.emu.firmware.answers import Refused, answer_of
from vmcoredd.emu.firmware.log import ADDRESS_UNIT, KIB, DeviceLog
from vmcoredd.emu.firmware.resources import free_function
from vmcoredd.emu.firmware.state import FirmwareState, Mode

if TYPE_CHECKING:
    from vmcoredd.emu.card import Card

EVAL_CRASH = 0
"""PCIE_FW.EVAL: what went wrong, if ERR is set (t4fw_api.h, enum pcie_fw_eval)."""
TICKS_PER_COMMAND = 2500
"""Core clock cycles that a command is said to take: 10 us at 250 MHz."""

REQUEST = 1 << 23
"""The bit of a command's first word that tells requests from answers."""


class Firmware:
    """One card's firmware. `state` is what it remembers."""

    PATIENCE: ClassVar[int] = 4
    """Looks at the mailbox until a slow firmware has answered."""

    def __init__(self, card: Card) -> None:
        self.card, self.words, self.r = card, card.core.words, card.chip.r
        self.profile, self.chip = card.profile, card.chip
        size = self.profile.firmware.devlog_kib * KIB
        self.log = DeviceLog(card.memories, card.scenario.memory_map["uP RAM"], size)
        self.state = FirmwareState()
        boot.boot(self)
        self.show()

    # What it says of itself

    def show(self) -> None:
        """Brings the registers in line: PCIE_FW, and where the device log is."""
        state = self.state
        self.words.fields(
            self.r.PCIE_FW,
            ERR=int(state.mode is Mode.ERROR),
            EVAL=EVAL_CRASH,
            INIT=int(state.initialised),
            MASTER_VLD=int(state.master is not None),
            MASTER=state.master or 0,
        )
        pointer = self.r.PCIE_FW_PF.of(
            NENTRIES128=self.log.units - 1,
            ADDR16=self.log.offset // ADDRESS_UNIT,
            MEMTYPE=self.log.memory.type.number,
        )
        self.words.set(self.r.PCIE_FW_PF, pointer if state.log_is_shown else 0, DEVLOG_PF)

    def set_mode(self, mode: Mode) -> None:
        """From now on it is alive, slow, dead or in error."""
        self.state.mode = mode
        self.show()

    def note(
        self, facility: Facility, text: str, *operands: int, level: Level = Level.INFO
    ) -> None:
        """Writes a record into the device log."""
        state = self.state
        self.log.write(state.logged, state.ticks, level, facility, text, operands)
        state.logged += 1

    # Commands

    def ask(self, pf: int, data: bytes) -> bytes:
        """Answers one command; both are the mailbox's 64 bytes, first byte first."""
        self.state.ticks += TICKS_PER_COMMAND
        command = command_of(data)
        answer = self._refuse_unknown(data) if command is None else self._answer(pf, command)
        self.show()
        return answer + data[len(answer) : MAILBOX_BYTES]

    def _answer(self, pf: int, command: Command) -> bytes:
        try:
            return bytes(answer_of(command)(self, pf, command))
        except Refused as refusal:
            self.note(
                Facility.CORE,
                "PF%d: command 0x%02x refused, return value %d",
                pf,
                command.op,
                refusal.retval,
                level=Level.ERR,
            )
            return bytes(command.reply(refusal.retval))

    def _refuse_unknown(self, data: bytes) -> bytes:
        self.note(Facility.CORE, "unknown command 0x%02x", data[0], level=Level.ERR)
        header = bytearray(data[: sizeof(Header)])
        header[0:4] = (int.from_bytes(header[0:4], "big") & ~REQUEST).to_bytes(4, "big")
        header[6] = Retval.EINVAL
        return bytes(header)

    def forget_function(self, pf: int) -> None:
        """A function was reset, or its driver left: what it had is free again."""
        free_function(self.state, pf)
        if self.state.master == pf:
            self.state.master = None
        self.note(Facility.FLR, "PF%d: resources freed", pf)
        self.show()

    # State

    def save(self) -> Any:
        """A copy of what it remembers."""
        return copy.deepcopy(self.state)

    def load(self, saved: Any) -> None:
        """Takes back what `save()` gave."""
        self.state = copy.deepcopy(saved)
