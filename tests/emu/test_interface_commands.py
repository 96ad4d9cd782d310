"""Commands about virtual interfaces, their addresses and their hashing: what MPS, TP and the engine
have of them, as a dump and the registers show it."""

from __future__ import annotations

from typing import Any

import pytest
from carddump import CARDS, collect
from emumail import Mailbox

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.firmware import (
    Bye,
    Dev,
    Hello,
    Iq,
    Params,
    Retval,
    RssGlbConfig,
    RssIndTbl,
    RssViConfig,
    Vi,
    ViEnable,
    ViMacExact,
    ViMacHash,
    ViMacRaw,
    ViMacVni,
    ViRxmode,
    param,
)
from vmcoredd.chip.firmware.interface import MacIndex, ViMacEntry
from vmcoredd.emu import Card, Scene

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
ONE, TWO = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
KEEP, ALL = 3, (1 << 48) - 1


class Interface:
    """An interface on port 1 of a fresh card."""

    def __init__(self, chip: Chip) -> None:
        self.card = Card.load(CARDS[chip], scene=Scene.FRESH, strict=True)
        self.mail, self.r = Mailbox(self.card), chip.r
        self.id = self.mail.do(Vi(alloc=1, portid=1)).viid

    def change(self, *addresses: bytes, index: int = MacIndex.ADD_MAC, **values: int) -> ViMacExact:
        command = ViMacExact(viid=self.id, **values)
        for slot, address in zip(command.exact, addresses, strict=False):
            slot.valid, slot.idx, slot.macaddr[:] = 1, index, list(address)
        return self.mail.call(command)

    def add(self, address: bytes, index: int = MacIndex.ADD_MAC) -> int:
        reply = self.change(address, index=index)
        assert reply.retval == 0
        return int(reply.exact[0].idx)

    def addresses(self) -> dict[int, dict[str, Any]]:
        """The rows of MPS_TCAM, by entry, but for the scene's own."""
        rows = collect(self.card, entities=("MPS_TCAM",)).table("MPS_TCAM", "MAC addresses")
        own = {mac.index for mac in self.card.scenario.mac_table.entries}
        return {row["entry"]: row for row in rows if row["entry"] not in own}

    def known(self) -> list[tuple[int, bytes, int]]:
        """The engine's entries in use: index, address, interface."""
        c = self.card.engine.c
        used = ((i, c.macs[i]) for i in range(c.mac_count) if c.macs[i].viid)
        return [(i, bytes(entry.mac), entry.viid) for i, entry in used]

    def get(self, name: str, field: str, element: int = 1) -> int:
        return self.r[name].get(self.card.core.spaces.get(self.r[name], element), field)

    def bucket(self, number: int) -> dict[str, int]:
        """The fields that are not 0 of a hash's filter on the port."""
        register = self.r.instances("MPS_PORT_CLS_HASH_SRAM")[1]
        word = self.card.core.spaces.get(register, number)
        return {name: value for name, value in register.decode(word).items() if value}

    def modes(self) -> tuple[int, ...]:
        """The engine's promiscuous, all multicast, broadcast, VLAN extraction."""
        row = self.row
        return row.promiscuous, row.all_multicast, row.broadcast, row.strips_vlan

    @property
    def row(self) -> Any:
        return next(row for row in self.card.engine.c.interfaces if row.viid == self.id)


# Addresses


@CHIPS
def test_an_address_is_in_the_table_with_its_port_and_function(chip: Chip) -> None:
    one = Interface(chip)
    index = one.add(ONE)
    found = one.addresses()
    assert list(found) == [index]
    row = found[index]
    assert (row["address"], row["mask"]) == (ONE.hex(":"), ALL)
    assert (row["valid"], row["ports"], row["PF"], row["VF"]) == (True, 2, 4, None)
    assert one.known() == [(index, ONE, one.id)]


@CHIPS
def test_an_address_is_changed_in_place_and_freed(chip: Chip) -> None:
    one = Interface(chip)
    index = one.add(ONE, MacIndex.ADD_PERSIST_MAC)
    assert one.add(TWO, index) == index
    assert one.addresses()[index]["address"] == TWO.hex(":")
    one.change(TWO, index=MacIndex.MAC_BASED_FREE)
    assert (one.addresses(), one.known()) == ({}, [])
    assert one.change(TWO, index=MacIndex.MAC_BASED_FREE).retval == Retval.ENOENT


@CHIPS
def test_the_reply_has_the_interfaces_numbers_as_drivers_would_compute_them(chip: Chip) -> None:
    """Linux without OPAQUE_VIID_SMT_EXTN takes both from the id (t4_hw.c, t4_change_mac())."""
    one = Interface(chip)
    assert one.mail.parameter(Dev.OPAQUE_VIID_SMT_EXTN) == 1
    one.mail.do(Params.writing([(param(Dev.OPAQUE_VIID_SMT_EXTN), 1)]))  # as FreeBSD does
    second = one.mail.do(Vi(alloc=1, portid=1))
    assert (second.vfvld, second.vin) == (1, 2)
    one.id = second.viid
    assert one.change(ONE).smtid == {4: 4, 5: 4, 6: 2}[chip.version]


def test_an_entry_is_freed_by_an_address_of_zeros() -> None:
    one = Interface(T6)
    index = one.add(ONE)
    assert one.change(bytes(6), index=index).retval == 0
    assert (one.addresses(), one.known()) == ({}, [])


def test_an_address_that_is_added_twice_has_one_entry() -> None:
    one = Interface(T6)
    assert one.add(ONE) == one.add(ONE)
    assert len(one.addresses()) == 1


def test_freeing_all_addresses_keeps_the_persistent_ones_and_adds_new_ones() -> None:
    one = Interface(T6)
    kept = one.add(ONE, MacIndex.ADD_PERSIST_MAC)
    one.add(TWO)
    three = bytes.fromhex("020000000003")
    added = one.change(three, freemacs=1).exact[0].idx
    assert {entry: row["address"] for entry, row in one.addresses().items()} == {
        kept: ONE.hex(":"),
        added: three.hex(":"),
    }


def test_a_full_table_takes_what_fits_and_says_so() -> None:
    one = Interface(T6)
    for number in range(1, 509):
        one.add(b"\x06" + number.to_bytes(5, "big"))
    reply = one.change(ONE, TWO)
    assert reply.retval == Retval.ENOMEM
    assert reply.exact[0].idx < 512 <= reply.exact[1].idx
    assert one.addresses()[reply.exact[0].idx]["address"] == ONE.hex(":")


def test_another_interfaces_entry_is_refused() -> None:
    one = Interface(T6)
    index = one.add(ONE)
    one.id = one.mail.do(Vi(alloc=1, portid=0)).viid
    for wrong in (index, 0, 511):
        assert one.change(TWO, index=wrong).retval == Retval.EINVAL
    assert one.addresses()[index]["address"] == ONE.hex(":")


def test_an_address_in_a_virtual_network_is_in_the_table() -> None:
    one = Interface(T6)
    command = ViMacVni(viid=one.id, entry_type=ViMacEntry.EXACTMAC_VNI)
    slot = command.exact_vni[0]
    slot.valid, slot.idx = 1, MacIndex.ADD_MAC
    slot.macaddr[:], slot.macaddr_mask[:] = list(ONE), [0xFF] * 5 + [0]
    slot.vni, slot.vni_mask, slot.lookup_type, slot.dip_hit = 0x123456, 0xFFFFFF, 1, 1
    index = one.mail.do(command).exact_vni[0].idx
    row = one.addresses()[index]
    assert (row["lookup"], row["VNI"], row["VNI mask"]) == ("inner", 0x123456, 0xFFFFFF)
    assert (row["address"], row["mask"]) == ("02:00:00:00:00:00", ALL - 0xFF)
    assert row["inner IP hit"] is True
    assert one.known() == []  # the engine does not look into tunnels
    one.change(bytes(6), index=index)
    assert one.addresses() == {}


def raw(one: Interface, index: int, **values: int) -> ViMacRaw:
    data2 = T6.r.MPS_CLS_TCAM_DATA2_CTL
    command = ViMacRaw(viid=one.id, entry_type=ViMacEntry.RAW, raw_idx=index, **values)
    command.data0 = data2.of(DataLkpType=1, DataPortNum=1)
    return command


def test_a_raw_entry_is_in_the_table() -> None:
    one = Interface(T6)
    one.mail.do(raw(one, 510))
    row = one.addresses()[510]
    assert (row["address"], row["mask"]) == ("00:00:00:00:00:00", 0)
    assert (row["lookup"], row["port"], row["ports"]) == ("inner", 1, 2)
    one.mail.do(raw(one, 510, raw_free=MacIndex.ID_BASED_FREE))
    assert one.addresses() == {}


def test_a_raw_entry_has_its_own_range_and_owner() -> None:
    one = Interface(T6)
    assert one.mail.call(raw(one, 509)).retval == Retval.EINVAL
    assert one.mail.call(raw(one, 512)).retval == Retval.EINVAL
    free = raw(one, 511, raw_free=MacIndex.ID_BASED_FREE)
    assert one.mail.call(free).retval == Retval.EINVAL


def test_a_t5_knows_no_tunnels() -> None:
    one = Interface(T5)
    vni = ViMacVni(viid=one.id, entry_type=ViMacEntry.EXACTMAC_VNI)
    assert one.mail.call(vni).retval == Retval.EINVAL
    assert one.mail.call(raw(one, 510)).retval == Retval.EINVAL


def test_debugfs_reads_the_table_where_it_would_write_it() -> None:
    one = Interface(T6)
    control = T6.r.MPS_CLS_TCAM_DATA2_CTL
    for index in (one.add(ONE), 300):
        tcam, row = divmod(index, 256)
        found = []
        for bit in (0, 1):
            word = control.of(CtlTcamSel=tcam, CtlTcamIndex=row, CtlXYBitSel=bit)
            one.card.write(control, word)
            high = one.card.read(T6.r.MPS_CLS_TCAM_DATA1) & 0xFFFF
            found.append(high << 32 | one.card.read(T6.r.MPS_CLS_TCAM_DATA0))
            assert T6.r.MPS_CLS_TCAM_DATA2_CTL.get(one.card.read(control), "DataLkpType") == 0
        address = int.from_bytes(ONE, "big")
        assert found == ([ALL, ALL] if index == 300 else [address, address ^ ALL])


# Filters


@CHIPS
def test_hashed_addresses_are_filters_of_the_port(chip: Chip) -> None:
    one = Interface(chip)
    vector = 1 << 63 | 1 << 5
    one.mail.do(ViMacHash(viid=one.id, entry_type=ViMacEntry.HASHVEC, hashvec=vector))
    filters = {n: one.bucket(n) for n in range(64) if one.bucket(n)}
    assert filters == {n: {"Valid": 1, "PortMap": 2, "PF": 4} for n in (5, 63)}
    assert one.get("MPS_PORT_CLS_HASH_CTL", "UnicastEnable") == 0
    assert (one.row.multicast_hash, one.row.unicast_hash) == (vector, 0)
    one.mail.do(ViMacHash(viid=one.id, entry_type=ViMacEntry.HASHVEC, hashunien=1, hashvec=2))
    assert one.get("MPS_PORT_CLS_HASH_CTL", "UnicastEnable") == 1
    assert (one.row.multicast_hash, one.row.unicast_hash) == (2, 2)
    assert not one.bucket(5)


@CHIPS
def test_receive_modes_are_filters_of_the_port(chip: Chip) -> None:
    one = Interface(chip)
    assert one.bucket(64)  # broadcasts, from the start
    one.mail.do(
        ViRxmode(viid=one.id, mtu=9000, promiscen=1, allmultien=1, broadcasten=0, vlanexen=1)
    )
    assert one.modes() == (1, 1, 0, 1)
    assert all(one.bucket(n) for n in range(64))
    assert not one.bucket(64)
    promiscuous = "MPS_PORT_CLS_PROMISCUOUS_CTL"
    assert (one.get(promiscuous, "Enable"), one.get(promiscuous, "PF")) == (1, 4)
    assert one.get(promiscuous, "Enable", 0) == 0
    one.mail.do(ViRxmode(viid=one.id, mtu=1500, allmultien=KEEP, broadcasten=1, vlanexen=KEEP))
    assert one.modes() == (0, 1, 1, 1)
    assert one.get(promiscuous, "Enable") == 0


@pytest.mark.parametrize("mtu", [1500, 0xFFFF])
def test_an_mtu_changes_nothing(mtu: int) -> None:
    one = Interface(T6)
    before, keep = one.modes(), dict.fromkeys(("promiscen", "allmultien", "broadcasten"), KEEP)
    one.mail.do(ViRxmode(viid=one.id, mtu=mtu, vlanexen=KEEP, **keep))
    assert one.modes() == before == (0, 0, 1, 0)


@CHIPS
def test_an_interfaces_directions_are_those_of_its_port(chip: Chip) -> None:
    one = Interface(chip)
    other = one.mail.do(Vi(alloc=1, portid=1)).viid
    for mine, others, rx, tx in (
        ((0, 0), (0, 0), 0, 0),
        ((1, 0), (0, 0), 1, 0),
        ((1, 0), (0, 1), 1, 1),
        ((0, 0), (1, 1), 1, 1),
        ((0, 0), (0, 0), 0, 0),
    ):
        one.mail.do(ViEnable(viid=one.id, ien=mine[0], een=mine[1]))
        one.mail.do(ViEnable(viid=other, ien=others[0], een=others[1]))
        assert (one.get("MPS_PORT_CTL", "RxEn"), one.get("MPS_PORT_CTL", "TxEn")) == (rx, tx)
        assert (one.row.receives, one.row.sends) == mine
        assert one.card.engine.c.ports[1].enabled == (rx or tx)


# RSS


@CHIPS
def test_an_interfaces_hashing_is_in_its_functions_register(chip: Chip) -> None:
    one = Interface(chip)
    one.mail.do(RssViConfig(viid=one.id, write=1, defaultq=37, udpen=1, ip6fourtupen=1))
    reply = one.mail.do(RssViConfig(viid=one.id, read=1))
    assert (reply.defaultq, reply.udpen, reply.ip6fourtupen, reply.ip4twotupen) == (37, 1, 1, 0)
    names = ("UDPFOURTUPEN", "IP6FOURTUPEN", "IP6TWOTUPEN", "IP4FOURTUPEN", "CH1DEFAULTQUEUE")
    register = one.r.TP_RSS_PF4_CONFIG
    shown = register.decode(one.card.core.spaces.get(register))
    assert [shown[name] for name in names] == [1, 1, 0, 0, 37]
    assert (one.row.hash_udp, one.row.hash_ip6_ports, one.row.hash_ip4) == (1, 1, 0)
    assert one.row.default_queue == 37
    one.mail.do(Vi(free=1, viid=one.id))
    assert register.get(one.card.core.spaces.get(register), "CH1DEFAULTQUEUE") == 0


@CHIPS
def test_what_the_card_hashes_is_in_its_register(chip: Chip) -> None:
    one = Interface(chip)
    one.mail.do(RssGlbConfig(write=1, mode=1, tnlmapen=1, synmapen=1))
    reply = one.mail.do(RssGlbConfig(read=1))
    assert (reply.mode, reply.tnlmapen, reply.synmapen, reply.hashtoeplitz) == (1, 1, 1, 0)
    config = one.r.TP_RSS_CONFIG
    assert one.card.read(config) == config.of(VirtEnable=1, TNLMapEn=1, SYNMapEn=1)
    assert one.mail.call(RssGlbConfig(write=1, mode=0)).retval == Retval.EINVAL


@CHIPS
def test_an_interface_writes_to_its_own_slice_only(chip: Chip) -> None:
    one = Interface(chip)
    table = one.card.core.spaces.space("tp_rss_lkp_table").words
    command = RssIndTbl(viid=one.id, niqid=32, startidx=96, iq0=33, iq31=44)
    one.mail.do(command)
    first = one.row.rss_first // 2
    row = one.r.TP_RSS_LKP_TABLE
    assert row.get(table[first + 48], "LkpTblQueue0") == 33
    assert row.get(table[first + 63], "LkpTblQueue1") == 44
    for start in (97, 128, 0xFFFF):
        command.startidx = start
        assert one.mail.call(command).retval == Retval.EINVAL
    one.mail.do(Vi(free=1, viid=one.id))
    assert not any(table[first : first + 64])


@pytest.mark.parametrize(("chip", "count"), [(T5, 16), (T6, 32)], ids=repr)
def test_there_are_as_many_interfaces_as_slices(chip: Chip, count: int) -> None:
    one = Interface(chip)
    ids = [one.id, *(one.mail.do(Vi(alloc=1)).viid for _ in range(count - 1))]
    for viid in ids:
        one.mail.do(RssIndTbl(viid=viid, niqid=32, startidx=96))
    assert one.mail.call(Vi(alloc=1)).retval == Retval.ENOSPC
    slices = [row.rss_first for row in one.card.engine.c.interfaces if row.viid]
    assert sorted(slices) == [128 * number for number in range(count)]
    one.mail.do(Vi(free=1, viid=ids[3]))
    assert one.mail.do(Vi(alloc=1)).viid == ids[3]


def test_an_interfaces_id_names_its_function() -> None:
    assert Interface(T6).id >> 8 == 4


# The end


@CHIPS
@pytest.mark.parametrize("end", ["free", "bye", "hello", "reset"])
def test_what_an_interface_had_is_gone_with_it(chip: Chip, end: str) -> None:
    one = Interface(chip)
    one.add(ONE)
    one.mail.do(ViMacHash(viid=one.id, entry_type=ViMacEntry.HASHVEC, hashunien=1, hashvec=7))
    one.mail.do(ViRxmode(viid=one.id, mtu=1500, promiscen=1, broadcasten=1))
    one.mail.do(ViEnable(viid=one.id, ien=1, een=1))
    if end == "reset":
        one.card.reset()
    else:
        ends = {"free": Vi(free=1, viid=one.id), "bye": Bye(), "hello": Hello(masterforce=1)}
        one.mail.do(ends[end])
    assert (one.addresses(), one.known()) == ({}, [])
    assert not any(one.bucket(n) for n in range(65))
    assert one.get("MPS_PORT_CLS_HASH_CTL", "UnicastEnable") == 0
    assert one.get("MPS_PORT_CLS_PROMISCUOUS_CTL", "Enable") == 0
    assert one.get("MPS_PORT_CTL", "RxEn") == 0
    assert not one.card.engine.c.ports[1].enabled
    assert not [row.viid for row in one.card.engine.c.interfaces if row.viid]


def test_unclean_exits_leave_nothing_behind() -> None:
    """Each driver says hello, and goes without a goodbye."""
    card = Card.load("t540-cr", scene=Scene.FRESH)
    mail = Mailbox(card)
    for _ in range(40):
        mail.do(Hello(masterforce=1, mbmaster=4))
        for port in range(4):
            mail.do(Vi(alloc=1, portid=port))
            mail.do(Iq(alloc=1, iqsize=64, fl0size=10))


@pytest.mark.parametrize("kind", [Vi, ViEnable, ViRxmode, RssViConfig, RssIndTbl, ViMacExact])
def test_another_functions_interface_is_refused(kind: type[Any]) -> None:
    one = Interface(T6)
    values = {"free": 1} if kind is Vi else {}
    assert Mailbox(one.card, pf=5).call(kind(viid=one.id, **values)).retval == Retval.EINVAL
