"""A frame waits for room, but not for ever, and nothing sleeps that has work."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from frames import ethernet
from readable import readable
from rxdriver import DONE, HELD, Rig, RxDriver
from txdriver import TxDriver, inline

from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.engine import WireKind

PATIENCE = lib.ENGINE_PATIENCE * 10**9
SOON = 10.0
"""Seconds after which what must be told at once has not been told."""
FRAME = ethernet(bytes(1486))


def join(rig: Rig) -> None:
    """Connects ports 0 and 1 of the card."""
    for port in range(2):
        entry = rig.c.ports[port]
        entry.present = entry.configured = entry.enabled = 1
        rig.engine.plug(port, WireKind.PORT, peer=1 - port)


def drops(rig: Rig, port: int = 0) -> Any:
    """Has a port's statistic of frames for which its buffer group had no room, which it returns."""
    kept = ffi.new("uint32_t[]", 2)
    rig.c.ports[port].dropped = kept
    return kept


def is_told(rig: Rig) -> bool:
    """Whether who serves the card is told of work in time."""
    return bool(readable([rig.c.work_fd], SOON))


@pytest.mark.parametrize("bus_master", [False, True])
def test_a_queue_that_never_has_room_loses_its_frames_in_the_end(
    rig: Rig, bus_master: bool
) -> None:
    rig.run(1)
    dropped = drops(rig)
    driver = RxDriver(rig.host)
    if not bus_master:
        driver.refill()
        rig.c.bus_master = 0
    assert rig.receive(FRAME) == HELD
    rig.run(PATIENCE - 1)
    assert rig.receive(FRAME) == HELD
    assert dropped[0] == 0
    rig.run(1)
    assert [rig.receive(FRAME) for _ in range(3)] == [DONE] * 3
    assert dropped[0] == rig.c.counts.frames_dropped == 3


def test_a_queue_that_takes_a_frame_is_waited_for_again(rig: Rig) -> None:
    rig.run(1)
    driver = RxDriver(rig.host, packing=False)
    rig.receive(FRAME)
    rig.run(PATIENCE)
    assert rig.receive(FRAME) == DONE
    driver.post()
    assert [rig.receive(FRAME) for _ in range(8)] == [DONE] * 8
    assert len(driver.poll()) == 8
    assert rig.receive(FRAME) == HELD
    rig.run(PATIENCE - 1)
    assert rig.receive(FRAME) == HELD


def test_frames_for_other_queues_of_the_port_are_not_lost(rig: Rig) -> None:
    """One interface's driver is gone; the other's gets its copy, after one wait."""
    rig.run(1)
    rig.interface(1, port=0, promiscuous=1)
    RxDriver(rig.host)
    alive = RxDriver(rig.host, number=34, free_list=65)
    alive.refill()
    assert rig.receive(FRAME) == HELD
    rig.run(PATIENCE)
    for _ in range(3):
        assert rig.receive(FRAME) == DONE
    assert len(alive.poll()) == 3
    assert rig.c.counts.frames_dropped == 3


@pytest.mark.parametrize("units", [0, 2])
def test_a_sender_goes_on_when_its_receiver_has_gone(rig: Rig, units: int) -> None:
    """Without buffers, or with all of a ring of 16, which its driver never fills again: it does so
    only when all of it is free (ethtool -G)."""
    rig.run(1)
    join(rig)
    rig.interface(1, promiscuous=1)
    RxDriver(rig.host, number=34, free_list=65, units=3, packing=False).post(units)
    sender = TxDriver(rig.host, entries=512)
    sender.post(*[inline(FRAME[:200])] * 100)
    for _ in range(3):
        rig.run(1)
    held = sender.cidx
    assert held < sender.pidx
    rig.run(PATIENCE - 10)
    assert sender.cidx == held
    for _ in range(3):
        rig.run(10)
    assert sender.cidx == sender.pidx


def timer(rig: Rig) -> int:
    """Nanoseconds until the engine's timer ends; 0: it does not run."""
    fields = Path(f"/proc/self/fdinfo/{rig.c.timer_fd}").read_text()
    found = re.search(r"it_value: \((\d+), (\d+)\)", fields)
    assert found
    return int(found[1]) * 10**9 + int(found[2])


def test_the_end_of_patience_is_what_the_timer_waits_for(rig: Rig) -> None:
    join(rig)
    rig.interface(1, promiscuous=1)
    RxDriver(rig.host, number=34)
    sender = TxDriver(rig.host)
    sender.post(inline(FRAME[:40]))
    rig.engine.run()
    assert 0 < timer(rig) <= PATIENCE
    assert timer(rig) > PATIENCE / 2
    rig.engine.hold_outside(held=True)
    rig.engine.run()
    assert timer(rig) == 0
    rig.engine.hold_outside(held=False)
    rig.engine.run()
    assert 0 < timer(rig) <= PATIENCE


def test_nothing_is_lost_while_frames_are_held_outside(rig: Rig) -> None:
    """Not one, as long as the dump takes; then there is patience again."""
    rig.run(1)
    RxDriver(rig.host)
    rig.receive(FRAME)
    rig.run(PATIENCE - 1)
    rig.engine.hold_outside(held=True)
    for _ in range(3):
        rig.run(PATIENCE)
        assert rig.receive(FRAME) == HELD
    rig.engine.hold_outside(held=False)
    rig.run(1)
    assert rig.receive(FRAME) == HELD
    rig.run(PATIENCE - 1)
    assert rig.receive(FRAME) == HELD
    rig.run(1)
    assert rig.receive(FRAME) == DONE


@pytest.mark.parametrize("held", [False, True])
def test_holding_outside_from_another_thread_wakes_the_server(rig: Rig, held: bool) -> None:
    rig.engine.hold_outside(held=not held)
    rig.engine.run()
    rig.engine.run()
    assert not readable([rig.c.work_fd], 0)
    thread = threading.Thread(target=rig.engine.hold_outside, kwargs={"held": held})
    thread.start()
    assert is_told(rig)
    thread.join()
    rig.engine.run()
    assert not readable([rig.c.work_fd], 0)


def block(rig: Rig, port: int) -> socket.socket:
    """Plugs a card's wire into a port, with a peer that is on and reads nothing; returns it."""
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    entry = rig.c.ports[port]
    entry.present = entry.configured = entry.enabled = 1
    rig.engine.plug(port, WireKind.CARD, fd=ours.detach())
    peer.send(b"\1")
    rig.engine.run()
    one = ffi.new("struct frame *")
    data = ffi.new("uint8_t[]", len(FRAME))
    one.data, one.length = data, len(FRAME)
    while lib.engine_send(rig.c, port, one) == lib.ENGINE_DONE:
        pass
    assert entry.wire.blocked
    return peer


def test_a_blocked_wire_leaves_the_holdoff_timers_alone(rig: Rig) -> None:
    with block(rig, 1):
        driver = RxDriver(rig.host)
        driver.gts(timer=5)
        rig.cpl(driver.number, b"")
        rig.engine.run()
        assert is_told(rig)
        rig.engine.run()
        assert rig.host.interrupts == [2]


def test_a_datagram_wire_that_nobody_tries_is_left_alone(rig: Rig) -> None:
    """Its sender is gone: what is to be tried again is not, and nobody is woken for it."""
    rig.c.ports[0].wire.kind, rig.c.ports[0].wire.blocked = lib.WIRE_DGRAM, 1
    rig.engine.run()
    assert not rig.c.ports[0].wire.blocked
    assert timer(rig) == 0


def test_queues_that_are_all_held_up_do_not_keep_the_engine_awake(rig: Rig) -> None:
    """More than a run can try: all have their turns, in vain, and again when something changes."""
    join(rig)
    rig.interface(1, promiscuous=1)
    driver = RxDriver(rig.host, number=34, free_list=65, entries=1000, units=100)
    senders = [TxDriver(rig.host, number=number, entries=8) for number in range(100, 700)]
    for sender in senders:
        sender.post(inline(FRAME[:40]))
    runs = 0
    while rig.c.pending and runs < 20:
        rig.run(1)
        runs += 1
    assert 1 < runs < 20
    assert rig.c.counts.frames_held >= len(senders)
    driver.refill()
    while rig.c.pending and runs < 40:
        rig.run(1)
        runs += 1
    assert all(sender.cidx == sender.pidx for sender in senders)
    assert len(driver.poll()) == len(senders)
