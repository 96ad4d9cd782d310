"""How long an ingress DMA engine has stood still: with the clock that the dump tells, if any."""

from __future__ import annotations

import pytest
from carddump import collected
from doctored import Doctored, doctored

from vmcoredd.chip import T6
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.cudbg.driver_state import TidLayout
from vmcoredd.diagnosis import Finding, diagnose
from vmcoredd.emu.silicon.sge import WAITS_FOR_BUFFER
from vmcoredd.hw.device import AdapterFlag

TICKS, STATE = T6.r.SGE_DEBUG_DATA_HIGH_INDEX_13, T6.r.SGE_DEBUG_DATA_LOW_INDEX_0
WAITS = T6.sge.idma_states.index(WAITS_FOR_BUFFER)
PERIOD_AT = 72
"""In struct cudbg_clk_info."""
ATTACHED = {TidLayout.flags.offset: int(AdapterFlag.FW_OK)}


def found(ticks: int, *, log: bool = False, **more: dict[int, int]) -> list[Finding]:
    """The findings of sge-idma-stuck on a card of which engine 0 waits for so many ticks."""
    dump = doctored({int(TICKS): ticks, int(STATE): WAITS}, **more)
    assert isinstance(dump, Doctored)
    if not log:
        silent = bytes(collected(T6).dump.size("DEV_LOG"))
        dump.other = {**dump.other, "DEV_LOG": silent}
    return [f for f in diagnose(dump).findings if f.rule == "sge-idma-stuck"]


def meaning(ticks: int, **more: dict[int, int]) -> str:
    (finding,) = found(ticks, **more)
    return finding.meaning


def test_the_driver_tells_the_clock_if_it_had_asked_the_firmware() -> None:
    at_250_mhz = {"CLK": {PERIOD_AT: 4000}, "TID_INFO": ATTACHED}
    assert "did not move for 2.0 s in state FL_REQ_DATA_FL" in meaning(500_000_000, **at_250_mhz)
    assert found(240_000_000, **at_250_mhz) == []


def test_the_log_tells_the_clock_where_the_driver_used_its_preset() -> None:
    khz = collected(T6).card.profile.card.core_clock
    (finding,) = found(3000 * khz, log=True)
    assert "did not move for 3.0 s " in finding.meaning
    assert finding.evidence[-1].entity == "DEV_LOG"
    assert finding.evidence[-1].value == f"{khz:,} kHz"


def test_an_unknown_clock_is_said_and_no_time_is_made_up() -> None:
    words = meaning(900_000_000)
    assert "for 900,000,000 ticks of the core clock, which the dump does not tell," in words
    assert " s " not in words


def test_with_an_unknown_clock_less_than_a_second_at_the_fastest_is_not_stuck() -> None:
    assert found(599_999_999) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [({"CLK": {PERIOD_AT: 4000}, "TID_INFO": ATTACHED}, "at least 17.2 s"), ({}, "at least 4,29")],
)
def test_a_counter_that_has_stopped_says_at_least(
    more: dict[str, dict[int, int]], words: str
) -> None:
    assert words in meaning(U32_MASK, **more)
    assert "at least" not in meaning(U32_MASK - 1, **more)
