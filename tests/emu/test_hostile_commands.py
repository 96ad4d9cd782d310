"""Commands at random, as a hostile driver sends them: what firmware has handed out stays what the
engine and the silicon have, and a goodbye takes all of it away."""

from __future__ import annotations

from functools import cache

import pytest
from carddump import CARDS
from hypothesis import given, settings
from hypothesis import strategies as st

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.firmware import (
    Bye,
    EqCtrl,
    EqEth,
    EqOfld,
    Iq,
    RssIndTbl,
    RssViConfig,
    Vi,
    ViEnable,
    ViMac,
    ViRxmode,
)
from vmcoredd.chip.firmware.message import Header
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.sge import VALID_BIT, ContextType
from vmcoredd.emu import Card, Scene
from vmcoredd.emu.silicon.mailbox import Mailboxes

KINDS = (Iq, EqEth, EqCtrl, EqOfld, Vi, ViEnable, ViMac, ViRxmode, RssIndTbl, RssViConfig)
ORDINARY = (
    bytes(Iq(alloc=1, iqstart=1, iqsize=64, fl0size=10, fl1size=4)),
    bytes(EqEth(alloc=1, eqstart=1, eqsize=65, hostfcmode=2)),
    bytes(Vi(alloc=1)),
)


@st.composite
def commands(draw: st.DrawFn) -> bytes:
    """A command that was ordinary, with a few bytes changed, or one with all bytes at random."""
    kind = draw(st.sampled_from(KINDS))
    if draw(st.booleans()):
        data = bytearray(draw(st.sampled_from(ORDINARY)))
        for _ in range(draw(st.integers(0, 3))):
            data[draw(st.integers(4, len(data) - 1))] = draw(st.integers(0, 255))
    else:
        size = sizeof(kind)
        data = bytearray(draw(st.binary(min_size=size, max_size=size)))
        data[0] = kind.OPCODE
        if draw(st.booleans()):  # of an interface or queue that may exist
            data[2:4] = (0x481).to_bytes(2, "big")
            data[8:16] = bytes((0, 32, 0, 32, 0, 64, 0, 65))
    return bytes(data).ljust(64, b"\0")


@cache
def card_of(chip: Chip) -> Card:
    return Card.load(CARDS[chip], scene=Scene.FRESH)


def used(card: Card) -> dict[str, set[int]]:
    """What the engine has, by id or index."""
    c = card.engine.c
    return {
        "ingress": {i for i in range(1024) if c.ingress[i].entries},
        "egress": {i for i in range(1024) if c.egress[i].kind},
        "interfaces": {row.viid for row in c.interfaces if row.viid},
        "macs": {i for i in range(512) if c.macs[i].viid},
    }


def valid(card: Card, kind: ContextType) -> set[int]:
    """The numbers of the contexts in use."""
    words = card.core.spaces.space("sge_contexts").words
    word, bit = divmod(VALID_BIT[kind], 32)
    first = kind * 8192
    return {i for i in range(1024) if words[(first + i) * 6 + word] >> bit & 1}


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_firmware_engine_and_silicon_agree_whatever_is_asked(chip: Chip) -> None:
    card = card_of(chip)
    firmware = card.model(Mailboxes).firmware

    @settings(max_examples=60, deadline=None)
    @given(st.lists(commands(), min_size=1, max_size=25))
    def ask(asked: list[bytes]) -> None:
        for data in asked:
            assert len(firmware.execute(4, data)) == 64
        state = firmware.state
        found = used(card)
        assert found["ingress"] == set(state.ingress) == valid(card, ContextType.INGRESS)
        assert found["egress"] == set(state.egress) == valid(card, ContextType.EGRESS)
        assert found["interfaces"] == set(state.interfaces)
        exact = {i for i, one in state.macs.items() if not one.mac.inner and one.mac.vni is None}
        assert found["macs"] <= set(state.macs)
        assert {i for i in exact if i < 510} <= found["macs"]
        lists = {queue.flm for queue in state.egress.values() if queue.kind == 1}
        assert lists == valid(card, ContextType.FLM)
        firmware.execute(4, bytes(Bye()).ljust(64, b"\0"))
        assert not any(used(card).values())
        assert not any(valid(card, kind) for kind in (ContextType.EGRESS, ContextType.FLM))

    ask()


def test_the_commands_at_random_allocate_something() -> None:
    """The test above tests something: its ordinary commands succeed."""
    card = card_of(T6)
    firmware = card.model(Mailboxes).firmware
    for data in ORDINARY:
        assert Header.from_bytes(firmware.execute(4, data.ljust(64, b"\0"))).retval == 0
    assert all(used(card)[kind] for kind in ("ingress", "egress", "interfaces"))
    firmware.execute(4, bytes(Bye()).ljust(64, b"\0"))
