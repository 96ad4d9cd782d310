"""Who gets a frame."""

from __future__ import annotations

import pytest
from frames import BROADCAST, MAC, ethernet
from rxdriver import DONE, HELD, VIID, Rig, RxDriver

OTHER = bytes.fromhex("000743000099")
MULTICAST = bytes.fromhex("01005e000001")


def hash_bit(mac: bytes) -> int:
    """cxgb4.h, hash_mac_addr()."""
    value = int.from_bytes(mac[:3], "big") ^ int.from_bytes(mac[3:], "big")
    value ^= value >> 12
    value ^= value >> 6
    return 1 << (value & 0x3F)


def test_the_hash_of_an_address_is_cxgb4s() -> None:
    assert hash_bit(MULTICAST) == 1 << 14


@pytest.fixture
def driver(rig: Rig) -> RxDriver:
    made = RxDriver(rig.host)
    made.refill()
    return made


def receives(rig: Rig, driver: RxDriver, to: bytes, *, loopback: bool = False) -> int:
    """Returns how often a frame to this address arrives."""
    assert rig.receive(ethernet(b"\0" * 46, to=to), loopback=loopback) == DONE
    got = driver.poll()
    driver.gts(len(got))
    return len(got)


MODES = [
    ({}, ""),
    ({"broadcast": 1}, "broadcast"),
    ({"all_multicast": 1}, "multicast"),
    ({"promiscuous": 1}, "mac other broadcast multicast"),
    ({"multicast_hash": hash_bit(MULTICAST)}, "multicast"),
    ({"unicast_hash": hash_bit(OTHER)}, "other"),
    ({"unicast_hash": hash_bit(MULTICAST), "multicast_hash": hash_bit(OTHER)}, ""),
]
ADDRESSES = {"mac": MAC, "other": OTHER, "broadcast": BROADCAST, "multicast": MULTICAST}


@pytest.mark.parametrize(("mode", "wanted"), MODES)
def test_an_interface_receives_what_its_mode_says(
    rig: Rig, driver: RxDriver, mode: dict[str, int], wanted: str
) -> None:
    rig.interface(**mode)
    got = [name for name, mac in ADDRESSES.items() if receives(rig, driver, mac)]
    assert got == wanted.split()
    assert rig.c.counts.frames_dropped == 0  # what nobody wants is not lost


@pytest.mark.parametrize("mac", [MAC, MULTICAST, BROADCAST])
def test_an_address_in_the_mac_table_is_received(rig: Rig, driver: RxDriver, mac: bytes) -> None:
    rig.interface()
    rig.engine.show_mac(14, mac, VIID)
    assert receives(rig, driver, mac)
    assert not receives(rig, driver, OTHER)
    rig.engine.show_mac(14, mac, VIID + 1)
    assert not receives(rig, driver, mac)
    rig.engine.show_mac(14, mac, 0)
    assert not receives(rig, driver, mac)


def test_the_response_names_the_entry_of_the_mac_table(rig: Rig, driver: RxDriver) -> None:
    rig.engine.show_mac(300, MAC, VIID)
    for to, index in ((MAC, 300), (OTHER, 0x1FF)):
        rig.receive(ethernet(b"", to=to))
        (got,) = driver.poll()
        assert got.packet.macidx == index


def test_entries_that_share_a_hash_are_told_apart(rig: Rig, driver: RxDriver) -> None:
    """The hash is of the address's halves: they may be exchanged."""
    exchanged = MAC[3:] + MAC[:3]
    assert exchanged != MAC
    assert hash_bit(MAC) == hash_bit(exchanged)
    rig.interface()
    rig.engine.show_mac(70, exchanged, VIID)
    assert not receives(rig, driver, MAC)
    rig.engine.show_mac(511, MAC, VIID)
    assert receives(rig, driver, MAC)
    assert receives(rig, driver, exchanged)


def test_a_snapshot_has_the_addresses(rig: Rig, driver: RxDriver) -> None:
    rig.interface()
    rig.engine.show_mac(14, MAC, VIID)
    saved = rig.engine.save()
    rig.engine.show_mac(14, OTHER, VIID)
    rig.engine.load(saved)
    driver.refill()
    assert receives(rig, driver, MAC)
    assert not receives(rig, driver, OTHER)


def test_an_interface_that_is_disabled_receives_nothing(rig: Rig, driver: RxDriver) -> None:
    rig.interface(promiscuous=1, receives=0)
    assert not receives(rig, driver, MAC)


def test_an_interface_receives_on_its_port_alone(rig: Rig, driver: RxDriver) -> None:
    for port in range(4):
        assert rig.receive(ethernet(b""), port) == DONE
        assert len(driver.poll()) == (port == 0)


@pytest.mark.parametrize("port", range(4))
def test_the_response_names_the_port_and_loopback(rig: Rig, driver: RxDriver, port: int) -> None:
    rig.interface(promiscuous=1, port=port)
    for loopback in (False, True):
        rig.receive(ethernet(b""), port, loopback=loopback)
        (got,) = driver.poll()
        assert (got.packet.iff, got.packet.chan) == (port + 4 * loopback, port)
        assert got.rss.channel == port


def test_the_self_test_of_cxgb4_comes_back(rig: Rig, driver: RxDriver) -> None:
    """A frame of 31 bytes to everybody, its text where the type would be."""
    rig.interface(broadcast=1)
    data = BROADCAST + MAC + b"CHELSIO_SELFTEST\0\0\0"
    rig.receive(data, loopback=True)
    (got,) = driver.poll()
    assert got.frame[2:] == data
    assert (got.packet.iff, got.packet.len) == (4, 31)


@pytest.mark.parametrize("length", range(14))
def test_what_has_no_ethernet_header_is_no_frame(rig: Rig, driver: RxDriver, length: int) -> None:
    assert rig.receive(ethernet(b"")[:length]) == DONE
    assert driver.poll() == []


def test_each_interface_gets_its_own_copy(rig: Rig, driver: RxDriver) -> None:
    second = RxDriver(rig.host, number=40, free_list=80, packing=False)
    second.post()
    rig.interface(1, port=0, broadcast=1, default_queue=40)
    for to, copies in ((BROADCAST, 2), (MAC, 1)):
        data = ethernet(b"x" * 50, to=to)
        rig.receive(data)
        got = [*driver.poll(), *second.poll()]
        assert [each.frame[2:] for each in got] == [data] * copies
    assert rig.c.counts.frames_received == 3


def test_copies_may_go_to_one_queue(rig: Rig, driver: RxDriver) -> None:
    rig.interface(1, port=0, broadcast=1, default_queue=33)
    assert receives(rig, driver, BROADCAST) == 2


@pytest.mark.parametrize("short", ["entry", "buffer"])
def test_a_frame_is_delivered_to_all_or_held(rig: Rig, driver: RxDriver, short: str) -> None:
    second = RxDriver(rig.host, number=40, free_list=80, entries=15)
    if short == "entry":
        second.refill()
        while rig.cpl(40, b"") == DONE:
            pass
        second.poll()
    rig.interface(1, port=0, broadcast=1, default_queue=40)
    before = bytes(rig.host.memory), driver.poll()
    assert rig.receive(ethernet(b"", to=BROADCAST)) == HELD
    assert (bytes(rig.host.memory), driver.poll()) == before
    assert rig.receive(ethernet(b"", to=MAC)) == DONE
    assert len(driver.poll()) == 1
    if short == "entry":
        second.gts(14)
    else:
        second.refill()
    assert rig.receive(ethernet(b"", to=BROADCAST)) == DONE
    assert (len(driver.poll()), len(second.poll())) == (1, 1)


def test_copies_for_one_queue_need_room_together(rig: Rig) -> None:
    driver = RxDriver(rig.host, entries=15)
    driver.refill()
    rig.interface(1, port=0, broadcast=1, default_queue=33)
    for _ in range(13):
        rig.cpl(33, b"")
    egress = rig.c.egress[driver.free_list]
    before = egress.offset, egress.pointer, rig.c.ingress[33].pidx
    assert rig.receive(ethernet(b"", to=BROADCAST)) == HELD
    assert (egress.offset, egress.pointer, rig.c.ingress[33].pidx) == before
    driver.gts(1)
    assert rig.receive(ethernet(b"", to=BROADCAST)) == DONE
    assert len(driver.poll()) == 15


def test_a_queue_that_does_not_run_keeps_the_others_copies_not(rig: Rig, driver: RxDriver) -> None:
    rig.interface(1, port=0, broadcast=1, default_queue=40)
    assert receives(rig, driver, BROADCAST) == 1
    assert rig.c.counts.frames_dropped == 1


def test_frames_wait_for_the_bus(rig: Rig, driver: RxDriver) -> None:
    rig.c.bus_master = 0
    assert rig.receive(ethernet(b"")) == HELD
    assert not rig.troubles
    rig.c.bus_master = 1
    assert rig.receive(ethernet(b"")) == DONE


def test_a_tag_is_stripped_or_left(rig: Rig, driver: RxDriver) -> None:
    tagged, bare = ethernet(b"data" * 20, tag=0x6007), ethernet(b"data" * 20)
    for strips, arrives, tag in ((1, bare, 0x6007), (0, tagged, 0)):
        rig.interface(promiscuous=1, strips_vlan=strips)
        rig.receive(tagged)
        (got,) = driver.poll()
        assert got.frame[2:] == arrives
        assert (got.packet.vlan_ex, got.packet.vlan) == (strips, tag)
        assert (got.packet.len, got.packet.ethhdr_len) == (len(arrives), 18 - 4 * strips)


def test_interfaces_of_one_port_choose_for_themselves_whether_tags_are_stripped(
    rig: Rig, driver: RxDriver
) -> None:
    rig.interface(promiscuous=1, strips_vlan=1)
    rig.interface(1, port=0, promiscuous=1, default_queue=33)
    rig.receive(ethernet(b"", tag=1))
    assert [got.packet.vlan_ex for got in driver.poll()] == [1, 0]


@pytest.mark.parametrize("length", range(14, 19))
def test_a_tag_that_is_cut_is_no_tag(rig: Rig, driver: RxDriver, length: int) -> None:
    rig.interface(promiscuous=1, strips_vlan=1)
    data = ethernet(b"", tag=5)[:length]
    rig.receive(data)
    (got,) = driver.poll()
    assert got.packet.vlan_ex == (length == 18)
    assert len(got.frame) == 2 + length - 4 * (length == 18)


def test_a_stripped_frame_may_lie_in_any_buffers(rig: Rig) -> None:
    driver = RxDriver(rig.host, size=1536, packing=False)
    driver.refill()
    rig.interface(promiscuous=1, strips_vlan=1)
    payload = bytes(range(256)) * 20
    rig.receive(ethernet(payload, tag=9))
    (got,) = driver.poll()
    assert got.frame[2:] == ethernet(payload)
