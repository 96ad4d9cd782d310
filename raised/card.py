"""Raises a card from a dump."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vmcoredd.chip.devlog import DEVLOG_PF
from vmcoredd.chip.firmware import Eval
from vmcoredd.cudbg.dump import Dump
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError, UnknownFormat
from vmcoredd.cudbg.words import RegisterEntity
from vmcoredd.driver import Adapter, open_card
from vmcoredd.emu import Card
from vmcoredd.emu.firmware.state import Mode
from vmcoredd.emu.scenario import Scene
from vmcoredd.emu.silicon.pcie import MemoryWindows
from vmcoredd.raised.alive import revive
from vmcoredd.raised.answered import Answered
from vmcoredd.raised.errors import NotRaisable
from vmcoredd.raised.failures import fail_again, keep_busy
from vmcoredd.raised.host import known_to_the_driver
from vmcoredd.raised.inverses.memories import memories
from vmcoredd.raised.lacking import Lack, lacking
from vmcoredd.raised.loss import lose_again
from vmcoredd.raised.profile import profile_of
from vmcoredd.raised.raising import Raising, inverses
from vmcoredd.raised.reading import bytes_of, left_of
from vmcoredd.raised.words import store_words

_REGISTERS = "REG_DUMP"


@dataclass(frozen=True)
class RaisedCard:
    """The card, and the dump that it is raised from."""

    card: Card
    dump: Answered
    loss: tuple[str, ...] = ()
    """The faults that wait, by which the card is lost where the dump's was; none if that was not
    lost."""

    @property
    def lacks(self) -> tuple[Lack, ...]:
        """What the dump does not hold, so that it is 0 on the card, or fails there again."""
        return tuple(lacking(self.dump, self.card))

    def open(self, trace: Callable[[str], None] | None = None) -> Adapter:
        """Probes the card as the driver that made the dump: with what that knew. Raises ProbeError
        if the card does not come up."""
        adapter = open_card(self.card, trace=trace)
        adapter.device = known_to_the_driver(self.dump, adapter.device)
        return adapter


def raise_card(dump: Dump, *, map_window: bool = False, alive: bool = False) -> RaisedCard:
    """Returns a card that holds what the dump says of it; what the dump lacks is 0.

    If the dump's adapter was lost during the dump, the card is, too (`loss.py`). With `alive`, its
    firmware runs, so that a driver can attach (`alive.py`), and it stays. Of a damaged dump, what
    is left is raised. Raises NotRaisable if the dump does not tell of which chip it is.
    """
    try:
        dump.check_format()
        dump = Answered(dump)
        profile = profile_of(dump)
    except (DumpFormatError, UnknownFormat) as error:
        raise NotRaisable(str(error)) from error
    card = Card(profile, scene=Scene.RAISED, map_window=map_window)
    on = Raising(card, dump)
    _clear_memories(card)
    _store(on)
    _finish(on)
    raised = RaisedCard(card, dump)
    if alive:
        revive(on)
        return raised
    return replace(raised, loss=lose_again(card, dump, raised.open))


def _clear_memories(card: Card) -> None:
    for memory in card.memories:
        memory.memfd.clear()


def _store(on: Raising) -> None:
    """Stores all entities, those that were read first last: they tell what the card was like before
    the dump changed it. Words of registers come before all others, which need them."""
    memories(on, on.dump)
    registers = [e for e in entities().values() if isinstance(e, RegisterEntity)]
    left = {e.name: found for e in registers if (found := left_of(on.dump, e.name))}
    for entity in reversed(registers):
        if entity.name in left and entity.name not in inverses():
            store_words(on, entity, left[entity.name])
    for name in reversed(entities()):
        if name in inverses() and (found := left_of(on.dump, name)):
            inverses()[name](on, bytes_of(found))
    if _REGISTERS in left:
        store_words(on, registers[0], left[_REGISTERS])


def _finish(on: Raising) -> None:
    """Makes the models know what their registers say."""
    card = on.card
    card.model(MemoryWindows).place()
    card.config_space.settle()
    _settle_firmware(on)
    keep_busy(on)
    fail_again(on)
    card.core.windows.show()


def _settle_firmware(on: Raising) -> None:
    """The firmware of a raised card does not answer; PCIE_FW says what became of it."""
    register, state = on.r.PCIE_FW, on.card.firmware.state
    fields = register.decode(on.get(register))
    state.mode = Mode.ERROR if fields["ERR"] else Mode.DEAD
    state.halted, state.initialised = bool(fields["HALT"]), bool(fields["INIT"])
    state.master = fields["MASTER"] if fields["MASTER_VLD"] else None
    if fields["EVAL"] in Eval._value2member_map_:
        state.eval = Eval(fields["EVAL"])
    state.log_is_shown = bool(on.get(on.r.PCIE_FW_PF, DEVLOG_PF))
