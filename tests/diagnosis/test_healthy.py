"""A healthy card raises no alarm, whichever it is and whatever its seed."""

from __future__ import annotations

import os

import pytest
from carddump import SMALL, collect
from labelled import SIZE

from vmcoredd import cudbg, emu
from vmcoredd.diagnosis import diagnose
from vmcoredd.emu.profile import profiles

HOST = {"mc0": 0, "hma": 1}
SEEDS = 100 if os.environ.get("VMCOREDD_THOROUGH") == "1" else 10


@pytest.mark.parametrize("card", sorted(profiles()))
def test_a_healthy_card_raises_no_alarm(card: str) -> None:
    alarms = {
        seed: found
        for seed in range(SEEDS)
        if (found := [f.rule for f in diagnose(_dump(card, seed)).alarming])
    }
    assert alarms == {}


def _dump(card: str, seed: int) -> cudbg.Dump:
    memory = SMALL["memory"] | {"t580-mc1": {"mc1": 1}, "t6225-so-cr": HOST}.get(card, {})
    return collect(emu.Card.load(card, seed, strict=True, memory=memory), "none", size=SIZE).dump
