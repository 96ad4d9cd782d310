"""How much one run of the engine does, whatever is asked for; all queues get their turn."""

from __future__ import annotations

import pytest
from frames import ethernet
from ramhost import BASE
from rxdriver import Rig
from txdriver import TxDriver, inline, make, request, sgl, tx_pkt

from vmcoredd.chip.message_layouts import TxPktLso
from vmcoredd.chip.messages import Cpl
from vmcoredd.emu._cffi import lib
from vmcoredd.emu.engine import WireKind

ONE_FRAME = 65_536 + 256 * lib.ENGINE_ACCESS
"""The most that one frame or packet moves: its bytes, in as many parts as a request can name."""
FRAMES = 512
"""Frames and work requests in one run."""


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """An engine whose port takes all frames."""
    port = rig.c.ports[0]
    port.present = port.configured = port.enabled = 1
    rig.engine.plug(0, WireKind.IDLE)
    lib.engine_update_links(rig.c)
    return rig


def big(length: int = 60_000) -> bytes:
    """One frame of many bytes."""
    cpl = tx_pkt(length)
    return request(cpl + sgl([(length, BASE)]), immediate=len(cpl))


def scattered() -> bytes:
    """One frame in as many parts as a work request can name."""
    cpl = tx_pkt(150)
    return request(cpl + sgl([(1, BASE + at) for at in range(150)]), immediate=len(cpl))


def segmented() -> bytes:
    """A packet of sixty thousand segments."""
    length = 60_000
    lso = make(
        TxPktLso, opcode=Cpl.TX_PKT_LSO, first_slice=1, last_slice=1, iphdr_len=5, tcphdr_len=5,
        mss=1, xfer_size=length,
    )  # fmt: skip
    cpls = lso + tx_pkt(length)
    return request(cpls + sgl([(length, BASE)]), immediate=len(cpls))


@pytest.mark.parametrize("make_request", [big, scattered, segmented])
def test_a_run_is_bounded(rig: Rig, make_request: object) -> None:
    assert callable(make_request)
    for number in range(100, 140):
        driver = TxDriver(rig.host, number=number, entries=3000)
        driver.post(*[make_request() for _ in range(60)])
    rig.run()
    assert 0 < rig.c.counts.frames_sent <= FRAMES
    assert rig.c.moved < lib.ENGINE_RUN + ONE_FRAME
    assert rig.c.pending
    assert rig.troubles == []


def test_a_queue_gets_its_turn_whatever_the_others_ask_for(rig: Rig) -> None:
    for number in range(100, 140):
        TxDriver(rig.host, number=number, entries=100).post(*[segmented()] * 50)
    late = [TxDriver(rig.host, number=number) for number in (80, 120 + 40, 900)]
    for driver in late:
        driver.post(inline(ethernet(bytes(60))))
    runs = 0
    while any(driver.cidx == 0 for driver in late):
        rig.run()
        runs += 1
    assert runs <= 6


def test_a_packet_goes_on_where_a_run_has_left_it(rig: Rig) -> None:
    driver = TxDriver(rig.host)
    driver.post(segmented())
    rig.run()
    first = rig.c.egress[driver.number].progress
    assert 0 < first < 60_000
    assert driver.cidx == 0
    rig.run()
    assert rig.c.egress[driver.number].progress > first
