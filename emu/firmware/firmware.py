"""The firmware itself: boots, executes commands, and shows its status in registers."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, ClassVar

from vmcoredd.chip.devlog import ADDRESS_UNIT, DEVLOG_PF, Facility, Level
from vmcoredd.chip.firmware import (
    MAILBOX_BYTES,
    DebugAssert,
    Eval,
    FwCommand,
    Retval,
    command_of,
    op_name,
)
from vmcoredd.chip.firmware.message import Header
from vmcoredd.chip.layout import u8
from vmcoredd.chip.pci import PF
from vmcoredd.chip.sge import MAX_FREE_LISTS
from vmcoredd.emu.classifier import Classifier
from vmcoredd.emu.contexts import ContextTable
from vmcoredd.emu.engine import Engine
from vmcoredd.emu.firmware.answers import Refused, answer_to
from vmcoredd.emu.firmware.last_words import Line, last_words
from vmcoredd.emu.firmware.log import KIB, DeviceLog, boot_messages
from vmcoredd.emu.firmware.state import Executed, FirmwareState, Link, Mode
from vmcoredd.emu.memory import Memories
from vmcoredd.emu.scenario import Scenario
from vmcoredd.emu.spaces import Spaces

TICKS_PER_COMMAND = 2500
"""Core clock cycles that each command takes: 10 us at 250 MHz."""
ASSERTED_FILE, ASSERTED_LINE = b"mailbox.c", 321
TRAFFIC_CLASSES = 16
"""Scheduling classes of each channel."""
SECONDS_TO_BOOT = 3
TICKS_PER_MESSAGE = 20_000
"""Least core clock cycles between two boot messages; a gap is always less than twice this."""


class Firmware:
    """One card's firmware. `state` persists from one command to the next."""

    SLOW_POLLS: ClassVar[int] = 4
    """Polls of the mailbox before a slow firmware answers."""

    def __init__(
        self, spaces: Spaces, scenario: Scenario, memories: Memories, engine: Engine
    ) -> None:
        self.spaces, self.scenario, self.memories = spaces, scenario, memories
        self.engine = engine
        self.contexts = ContextTable(spaces, memories, scenario.memory_map)
        self.classifier = Classifier(spaces)
        self.profile, self.chip, self.r = scenario.profile, scenario.chip, scenario.chip.r
        size = self.profile.firmware.devlog_kib * KIB
        self.log = DeviceLog(memories, scenario.memory_map["uP RAM"], size)
        self.executed = Counter[str]()
        """How many commands of each kind it has executed, since the card was made."""
        self.state = FirmwareState(master=PF if scenario.crashed else None)
        self._boot()
        self.show()

    def _boot(self) -> None:
        ports, up = self.profile.ports, self.scenario.crashed
        self.state.links = [Link.at(ports.speed, up=up) for _ in range(ports.count)]
        random, second = self.scenario.random("boot log"), self.profile.card.core_clock * 1000
        self.state.ticks = second
        for facility, text, *operands in boot_messages(self.scenario, self.memories):
            self.state.ticks += TICKS_PER_MESSAGE + random.randrange(TICKS_PER_MESSAGE)
            self.note(facility, text, *operands)
        self.state.ticks = second * SECONDS_TO_BOOT

    # Status

    def show(self) -> None:
        """Updates the registers that show the firmware's status and the device log's location."""
        state = self.state
        self.spaces.fields(
            self.r.PCIE_FW,
            ERR=int(state.mode is Mode.ERROR),
            EVAL=state.eval,
            HALT=int(state.halted),
            INIT=int(state.initialised),
            MASTER_VLD=int(state.master is not None),
            MASTER=state.master or 0,
        )
        pointer = self.r.PCIE_FW_PF.of(
            NENTRIES128=self.log.units - 1,
            ADDR16=self.log.offset // ADDRESS_UNIT,
            MEMTYPE=self.log.memory.type.number,
        )
        self.spaces.set(self.r.PCIE_FW_PF, pointer if state.log_is_shown else 0, DEVLOG_PF)

    def set_mode(self, mode: Mode) -> None:
        """Makes the firmware alive, slow or dead, or crashes it."""
        self.state.mode = mode
        self.show()

    def note(
        self, facility: Facility, text: str, *operands: int, level: Level = Level.INFO
    ) -> None:
        """Writes a record to the device log, unless the firmware has stopped.

        `text` is a printf format for `operands`.
        """
        state = self.state
        if state.mode in (Mode.DEAD, Mode.ERROR):
            return
        self.log.write(state.logged, state.ticks, level, facility, text, operands)
        state.logged += 1

    def tell(self, *lines: Line) -> None:
        """Logs what happened, a second after the last record."""
        self.state.ticks += self.profile.card.core_clock * 1000
        for level, facility, text, *operands in lines:
            self.note(facility, text, *operands, level=level)
            self.state.ticks += TICKS_PER_MESSAGE

    def fail(self, kind: Eval) -> None:
        """Crashes the firmware, which logs why first; one that has crashed stays as it is."""
        if self.state.mode is Mode.ERROR:
            return
        self.tell(*last_words(kind, self.scenario))
        self.state.eval = kind
        if kind in (Eval.PREPARATION, Eval.CONFIGURATION, Eval.INITIALIZATION):
            self.state.initialised = False
        self.set_mode(Mode.ERROR)

    def halt(self) -> None:
        """Halts the firmware: it takes commands no more, and logs nothing."""
        self.tell((Level.NOTICE, Facility.CORE, "processor is put into reset"))
        self.state.halted = True
        self.set_mode(self.state.mode if self.state.mode is Mode.ERROR else Mode.DEAD)

    # Commands

    def execute(self, pf: int, data: bytes, refusal: Retval | None = None) -> bytes:
        """Executes a command, or refuses it. It and the reply are the mailbox's 64 bytes, first
        byte first."""
        self.state.ticks += TICKS_PER_COMMAND
        command = command_of(data)
        if command is None:
            reply = self._refuse_unknown(data)
        else:
            reply = self._answer(pf, command, refusal)
        name = "" if command is None else type(command).__name__
        header = Header.from_bytes(reply)
        self.executed[op_name(data[0])] += 1
        self.state.last_command = Executed(pf, data[0], name, int(header.retval))
        self.show()
        return reply + data[len(reply) : MAILBOX_BYTES]

    def fail_assertion(self, data: bytes) -> bytes:
        """Fails an assertion over a command. Returns what takes the place of the reply; file and
        line are invented."""
        self.state.ticks += TICKS_PER_COMMAND
        text = "assertion failed: command 0x%02x, line %u"
        self.note(Facility.CORE, text, data[0], ASSERTED_LINE, level=Level.ERR)
        name = (u8 * 16)(*ASSERTED_FILE)
        where = {"filename": name, "line": ASSERTED_LINE, "x": data[0]}
        return bytes(DebugAssert(request=0, **where)).ljust(MAILBOX_BYTES, b"\0")

    def _answer(self, pf: int, command: FwCommand, retval: Retval | None) -> bytes:
        try:
            if retval:
                raise Refused(retval, "as a fault has it")
            return bytes(answer_to(command)(self, pf, command))
        except Refused as refusal:
            self.note(
                Facility.CORE,
                "PF%d: command 0x%02x refused, return value %d",
                pf,
                command.op,
                refusal.retval,
                level=Level.NOTICE,  # drivers try commands to learn what the firmware knows
            )
            return bytes(command.reply(refusal.retval))

    def _refuse_unknown(self, data: bytes) -> bytes:
        self.note(Facility.CORE, "unknown command 0x%02x", data[0], level=Level.ERR)
        header = Header.from_bytes(data)
        header.request, header.retval = 0, Retval.EINVAL
        return bytes(header)

    @property
    def flm_contexts(self) -> int:
        """How many contexts the free list manager has."""
        config = self.r.SGE_FLM_CFG
        return MAX_FREE_LISTS >> config.get(self.spaces.get(config), "HdrStartFLQ")

    # Snapshots

    def save(self) -> Any:
        """Returns a copy of the state, and where the log is."""
        return copy.deepcopy(self.state), self.log.placed

    def load(self, saved: Any) -> None:
        """Restores what `save()` returned."""
        state, placed = saved
        self.state = copy.deepcopy(state)
        self.log.put(placed)
