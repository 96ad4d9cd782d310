"""The wires of `guest kdump`."""

from __future__ import annotations

import pytest
import typer

from vmcoredd import emu
from vmcoredd.cli.named_cards import named_cards
from vmcoredd.cli.traffic import holding_outside, joined_interfaces, own_wires
from vmcoredd.emu.wires import plug
from vmcoredd.qemu.kdump import Stage

TWO = ["t62100-cr", "t540-cr"]


@pytest.fixture(scope="module")
def cards() -> dict[str, emu.Card]:
    return {name: emu.Card.load(card, scene="fresh") for name, card in named_cards(TWO)}


def test_ports_are_joined_by_twos_on_each_card(cards: dict[str, emu.Card]) -> None:
    wires = own_wires(named_cards(TWO))
    assert wires == ["a.0=a.1", "b.0=b.1", "b.2=b.3"]
    plug(wires, cards)


def test_wires_are_named_by_the_interfaces_in_the_order_of_cards(
    cards: dict[str, emu.Card],
) -> None:
    found = joined_interfaces(["a.1=b.3", "b.0=a.0", "b.1=open"], cards)
    assert found == ("eth1=eth5", "eth2=eth0")


def test_a_port_without_a_name_is_of_the_only_card(cards: dict[str, emu.Card]) -> None:
    assert joined_interfaces(["1=0"], {"x": cards["a"]}) == ("eth1=eth0",)


@pytest.mark.parametrize("wires", [[], ["a.0=open"], ["a.0=stream:/run/w.sock"]])
def test_traffic_without_a_wire_between_two_ports_is_refused(
    cards: dict[str, emu.Card], wires: list[str]
) -> None:
    with pytest.raises(typer.BadParameter, match="a wire between two ports of the guest"):
        joined_interfaces(wires, cards)


def test_frames_from_outside_wait_while_the_crash_kernel_dumps(cards: dict[str, emu.Card]) -> None:
    card = cards["a"]
    on_stage, held = holding_outside([card]), {}
    for stage in Stage:
        on_stage(stage)
        held[stage] = bool(card.engine.c.hold_outside)
    assert [stage for stage, holds in held.items() if holds] == [Stage.CRASHED]
