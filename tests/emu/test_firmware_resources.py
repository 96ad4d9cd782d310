"""Resources of the firmware: queues, ports, interfaces, RSS; registers read through it."""

from __future__ import annotations

import pytest
from emumail import Mailbox

from vmcoredd.chip.firmware import (
    EqCtrl,
    EqEth,
    EqOfld,
    Iq,
    LdstAddress,
    LdstMpsReplication,
    LdstPcie,
    LdstSpace,
    Pf,
    Pfvf,
    PortAction,
    PortCaps,
    PortInfo,
    PortInfo32,
    PortL1Config32,
    Retval,
    RssIndTbl,
    RssViConfig,
    Vi,
    ViEnable,
    ViMacExact,
    ViRxmode,
)
from vmcoredd.chip.firmware.interface import MacIndex
from vmcoredd.emu import Card
from vmcoredd.emu.engine import EgressKind


@pytest.fixture
def card(strict_card: Card) -> Card:
    return strict_card


# Queues


@pytest.mark.parametrize("kind", [EqEth, EqCtrl, EqOfld])
def test_egress_queues_are_allocated_and_freed(
    mail: Mailbox, kind: type[EqEth | EqCtrl | EqOfld]
) -> None:
    first, second = (mail.do(kind(alloc=1, eqsize=64)).eqid for _ in range(2))
    assert first != second
    assert mail.parameter(Pf.EQ_START) <= first <= mail.parameter(Pf.EQ_END)
    mail.do(kind(free=1, eqid=first))
    assert mail.call(kind(free=1, eqid=first)).retval == Retval.EINVAL
    assert mail.do(kind(alloc=1, eqsize=64)).eqid == first


def test_an_ingress_queue_is_allocated_with_its_free_list(mail: Mailbox) -> None:
    reply = mail.do(Iq(alloc=1, iqsize=1024, fl0size=72))
    assert reply.iqid == reply.physiqid < 1024
    assert reply.fl0id >= mail.parameter(Pf.EQ_START)
    assert reply.fl1id == 0xFFFF
    mail.do(Iq(free=1, iqid=reply.iqid, fl0id=reply.fl0id, fl1id=0xFFFF))
    assert mail.call(Iq(free=1, iqid=reply.iqid, fl0id=0xFFFF, fl1id=0xFFFF)).retval


@pytest.mark.parametrize("named", ["both", "first", "none"])
def test_free_lists_go_with_their_ingress_queue(card: Card, mail: Mailbox, named: str) -> None:
    other = mail.do(Iq(alloc=1, iqsize=1024, fl0size=72))
    one = mail.do(Iq(alloc=1, iqsize=1024, fl0size=72, fl1size=72))
    lists = [one.fl0id, one.fl1id]
    ids = {"both": lists, "first": [one.fl0id, 0xFFFF], "none": [0xFFFF] * 2}[named]
    mail.do(Iq(free=1, iqid=one.iqid, fl0id=ids[0], fl1id=ids[1]))
    kinds = [card.engine.c.egress[number].kind for number in (*lists, other.fl0id)]
    assert kinds == [EgressKind.NONE, EgressKind.NONE, EgressKind.FREE_LIST]
    again = mail.do(Iq(alloc=1, iqsize=1024, fl0size=72, fl1size=72))
    assert [again.fl0id, again.fl1id] == lists


def test_queues_run_out(mail: Mailbox) -> None:
    count = mail.do(Pfvf(read=1, pfn=4)).niqflint
    for _ in range(count):
        mail.do(Iq(alloc=1, iqsize=16))
    assert mail.call(Iq(alloc=1, iqsize=16)).retval == Retval.ENOSPC


# Ports and interfaces


def test_a_port_is_up_at_its_speed(mail: Mailbox) -> None:
    reply = mail.do(PortInfo32(read=1, portid=1, action=PortAction.GET_PORT_INFO32))
    assert reply.lstatus32
    assert reply.linkattr32 & PortCaps.SPEED_100G
    assert reply.pcaps32 & 0x70000 == 0x70000


def test_a_port_reports_the_same_in_16_bit_capabilities(mail: Mailbox) -> None:
    reply = mail.do(PortInfo(read=1, portid=0, action=PortAction.GET_PORT_INFO))
    assert (reply.lstatus, reply.lspeed) == (1, 0x20)


def test_an_absent_port_is_refused(mail: Mailbox) -> None:
    command = PortInfo32(read=1, portid=2, action=PortAction.GET_PORT_INFO32)
    assert mail.call(command).retval == Retval.EINVAL


@pytest.mark.parametrize(("wanted", "up"), [(0, 0), (PortCaps.FC_RX, 1)])
def test_a_link_is_down_until_it_is_set(mail: Mailbox, wanted: PortCaps, up: int) -> None:
    """A port of one speed needs no name of it."""
    mail.do(PortL1Config32(exec=1, action=PortAction.L1_CFG32, rcap32=int(wanted)))
    command = PortInfo32(read=1, action=PortAction.GET_PORT_INFO32)
    assert mail.do(command).lstatus32 == up


def test_a_broken_link_stays_down(card: Card, mail: Mailbox) -> None:
    card.fail("link-remote-fault-port1")
    speed = int(PortCaps.SPEED_100G)
    set_up = PortL1Config32(exec=1, portid=1, action=PortAction.L1_CFG32, rcap32=speed)
    mail.do(set_up)
    ask = PortInfo32(read=1, portid=1, action=PortAction.GET_PORT_INFO32)
    assert (mail.do(ask).lstatus32, mail.do(ask).linkattr32) == (0, 0)


def test_a_link_cannot_be_set_to_what_its_port_lacks(mail: Mailbox) -> None:
    rcap = int(PortCaps.SPEED_400G)
    command = PortL1Config32(exec=1, action=PortAction.L1_CFG32, rcap32=rcap)
    assert mail.call(command).retval == Retval.EINVAL


def test_an_interface_has_the_mac_of_its_port(card: Card, mail: Mailbox) -> None:
    reply = mail.do(Vi(alloc=1, exec=1, portid=1))
    assert bytes(reply.mac) == card.scenario.identity.mac(1)
    assert reply.rsssize == 128
    mail.do(ViEnable(viid=reply.viid, ien=1, een=1))
    mail.do(ViRxmode(viid=reply.viid, mtu=9000, promiscen=1))
    mail.do(Vi(free=1, viid=reply.viid))
    assert mail.call(ViEnable(viid=reply.viid)).retval == Retval.EINVAL


def test_an_interface_needs_a_port(mail: Mailbox) -> None:
    assert mail.call(Vi(alloc=1, portid=7)).retval == Retval.EINVAL


def test_mac_addresses_get_table_entries(card: Card, mail: Mailbox) -> None:
    viid = mail.do(Vi(alloc=1, portid=0)).viid
    command = ViMacExact(viid=viid)
    command.exact[0].valid, command.exact[0].idx = 1, MacIndex.ADD_PERSIST_MAC
    command.exact[0].macaddr[:] = list(card.scenario.identity.mac(0))
    index = mail.do(command).exact[0].idx
    assert len(card.scenario.mac_table.entries) <= index < card.chip.mps.tcam_entries
    command.exact[0].idx = MacIndex.MAC_BASED_FREE
    assert mail.do(command).exact[0].idx == index
    assert mail.call(command).retval == Retval.ENOENT


def test_an_interface_distributes_packets_over_its_queues(card: Card, mail: Mailbox) -> None:
    viid = mail.do(Vi(alloc=1, portid=0)).viid
    mail.do(RssIndTbl(viid=viid, niqid=3, startidx=0, iq0=33, iq1=34, iq2=35))
    lookup = card.chip.r.TP_RSS_LKP_TABLE
    card.write(lookup, 0xFFF00000)
    row = card.read(lookup)
    assert (lookup.get(row, "LkpTblQueue0"), lookup.get(row, "LkpTblQueue1")) == (33, 34)
    assert lookup.get(row, "LkpTblRowVld")
    mail.do(RssViConfig(viid=viid, write=1, defaultq=33))
    assert mail.do(RssViConfig(viid=viid, read=1)).defaultq == 33


# Registers through the firmware


def test_registers_of_the_transport_processor_are_read_and_written(
    card: Card, mail: Mailbox
) -> None:
    command = LdstAddress(addrspace=LdstSpace.TP_PIO, read=1, addr=card.chip.r.TP_VLAN_PRI_MAP)
    assert mail.do(command).val == card.core.spaces.get(card.chip.r.TP_VLAN_PRI_MAP)
    mail.do(LdstAddress(addrspace=LdstSpace.TP_PIO, write=1, addr=0x40, val=77))
    card.write(card.chip.r.TP_PIO_ADDR, 0x40)
    assert card.read(card.chip.r.TP_PIO_DATA) == 77


def test_absent_registers_are_refused(mail: Mailbox) -> None:
    for space, address in ((LdstSpace.TP_MIB, 0x10000), (LdstSpace.FIRMWARE, 3)):
        command = LdstAddress(addrspace=space, read=1, addr=address)
        assert mail.call(command).retval == Retval.EINVAL


@pytest.mark.parametrize("name", ["t520-cr", "t62100-cr"])
def test_replication_maps_are_those_of_the_mac_table(name: str) -> None:
    card = Card.load(name)
    mail = Mailbox(card)
    for mac in card.scenario.mac_table.entries:
        reply = mail.do(LdstMpsReplication(addrspace=LdstSpace.MPS, read=1, fid=1, idx=mac.index))
        words = [getattr(reply, f"rplc{32 * i + 31}_{32 * i}") for i in range(8)]
        found = {
            32 * i + bit for i, word in enumerate(words) for bit in range(32) if word >> bit & 1
        }
        assert found == set(mac.vfs)
    for wrong in ({"idx": 512}, {"fid": 0}, {"write": 1}):
        command = LdstMpsReplication(addrspace=LdstSpace.MPS, **({"read": 1, "fid": 1} | wrong))
        assert mail.call(command).retval == Retval.EINVAL


def test_configuration_space_is_read_through_the_firmware(card: Card, mail: Mailbox) -> None:
    command = LdstPcie(addrspace=LdstSpace.FUNC_PCIE, read=1, pcie_fn=4, r=0, naccess=2)
    reply = mail.do(command)
    assert reply.data[0] == int.from_bytes(card.config[:4], "little")
    command.r, command.ext_r, command.pcie_fn = 0xFC, 0xF, 7
    assert mail.call(command).retval == Retval.EINVAL
