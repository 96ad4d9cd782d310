"""The firmware's commands: device, parameters, queues, ports, interfaces, registers; its log."""

from __future__ import annotations

from pathlib import Path

import pytest
from emumail import Mailbox
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmcoredd.chip import devlog as layout
from vmcoredd.chip.devlog import DEVLOG_PF, DevlogEntry
from vmcoredd.chip.firmware import (
    Bye,
    CapsConfig,
    Clip,
    Dev,
    Devlog,
    Dmaq,
    EqCtrl,
    EqEth,
    EqOfld,
    FwCommand,
    Hello,
    Initialize,
    Iq,
    LdstAddress,
    LdstPcie,
    LdstSpace,
    MemType,
    Params,
    Pf,
    Pfvf,
    PortAction,
    PortCaps,
    PortInfo,
    PortInfo32,
    PortL1Config32,
    PtpTime,
    Reset,
    Retval,
    RssIndTbl,
    RssViConfig,
    Vi,
    ViEnable,
    ViMacExact,
    ViRxmode,
    param,
)
from vmcoredd.chip.firmware.device import PtpSub
from vmcoredd.chip.firmware.interface import MacIndex
from vmcoredd.chip.firmware.params import FilterSub
from vmcoredd.chip.layout import sizeof
from vmcoredd.emu import Card, ModelError, firmware
from vmcoredd.emu.firmware.answers import answer_to, answers
from vmcoredd.emu.silicon.mailbox import Mailboxes


@pytest.fixture
def card(strict_card: Card) -> Card:
    return strict_card


@pytest.fixture
def mail(card: Card) -> Mailbox:
    return Mailbox(card)


def value(mail: Mailbox, which: Dev | Pf, y: int = 0) -> int:
    return int(mail.do(Params.reading([param(which, y)])).param[0].val)


def log(card: Card) -> list[DevlogEntry]:
    """The records of the device log, oldest first, found as the driver finds them."""
    pointer = card.chip.r.PCIE_FW_PF
    word = card.read(pointer[DEVLOG_PF])
    count = (pointer.get(word, "NENTRIES128") + 1) * layout.ENTRIES_UNIT
    memory = next(m for m in card.memories if m.type.number == pointer.get(word, "MEMTYPE"))
    start = memory.base + pointer.get(word, "ADDR16") * 16
    data = card.memories.read(start, count * sizeof(DevlogEntry))
    found = [DevlogEntry.from_bytes(data[i:]) for i in range(0, len(data), sizeof(DevlogEntry))]
    return sorted((e for e in found if e.timestamp), key=lambda e: e.seqno)


def texts(card: Card) -> list[str]:
    return [
        bytes(e.fmt).split(b"\0")[0].decode() % tuple(e.params[: bytes(e.fmt).count(b"%")])
        for e in log(card)
    ]


# The device


def test_the_first_hello_makes_its_function_master(card: Card, mail: Mailbox) -> None:
    reply = mail.do(Hello(mbmaster=0xF))
    assert (reply.err, reply.init, reply.mbmaster) == (0, 1, 4)
    fw = card.chip.r.PCIE_FW
    assert (fw.get(card.read(fw), "MASTER_VLD"), fw.get(card.read(fw), "MASTER")) == (1, 4)


def test_a_second_drivers_hello_returns_the_master(card: Card, mail: Mailbox) -> None:
    mail.do(Hello(mbmaster=0xF))
    assert Mailbox(card, pf=2).do(Hello(mbmaster=0xF)).mbmaster == 4


def test_hello_can_force_a_new_master(card: Card, mail: Mailbox) -> None:
    Mailbox(card, pf=2).do(Hello(mbmaster=0xF))
    assert mail.do(Hello(masterforce=1, mbmaster=4)).mbmaster == 4


def test_a_second_hello_without_bye_is_accepted(mail: Mailbox) -> None:
    mail.do(Hello(mbmaster=0xF))
    assert mail.do(Hello(masterforce=1, mbmaster=4)).init == 1


def test_bye_frees_what_the_driver_had(card: Card, mail: Mailbox) -> None:
    mail.do(Hello(mbmaster=0xF))
    first = mail.do(Iq(alloc=1, iqsize=1024)).iqid
    mail.do(Bye())
    mail.do(Hello(mbmaster=0xF))
    assert mail.do(Iq(alloc=1, iqsize=1024)).iqid == first


def test_the_device_must_be_initialised_after_a_reset(card: Card, mail: Mailbox) -> None:
    fw = card.chip.r.PCIE_FW
    mail.do(Hello(mbmaster=0xF))
    mail.do(Reset(val=3))
    assert not fw.get(card.read(fw), "INIT")
    assert mail.call(Initialize()).retval == Retval.EINVAL
    caps = mail.do(CapsConfig(read=1, cfvalid=1, memtype_cf=MemType.FLASH, memaddr64k_cf=0x1F))
    mail.do(CapsConfig(write=1, niccaps=caps.niccaps))
    mail.do(Initialize())
    assert fw.get(card.read(fw), "INIT")


@pytest.mark.parametrize("command", [Reset(val=3), Initialize(), CapsConfig(write=1)])
def test_only_the_master_may_change_the_device(mail: Mailbox, command: FwCommand) -> None:
    assert mail.call(command).retval == Retval.EPERM


def test_a_configuration_file_at_another_address_is_not_found(mail: Mailbox) -> None:
    command = CapsConfig(read=1, cfvalid=1, memtype_cf=MemType.FLASH, memaddr64k_cf=1)
    assert mail.call(command).retval == Retval.ENOENT


def test_a_card_can_need_its_driver_to_initialise_it() -> None:
    card = Card.load("t62100-cr", faults=["firmware-uninitialised"])
    assert Mailbox(card).do(Hello(mbmaster=0xF)).init == 0


def test_a_function_can_read_its_resources(card: Card, mail: Mailbox) -> None:
    reply = mail.do(Pfvf(read=1, pfn=4))
    assert (reply.niqflint, reply.neq) == (218, 256)
    assert reply.pmask == 0b11
    assert mail.call(Pfvf(write=1, pfn=4)).retval == Retval.EPERM


def test_users_of_a_local_ipv6_address_are_counted(mail: Mailbox) -> None:
    address = {"ip_hi": 0x20010DB8 << 32, "ip_lo": 1}
    mail.do(Clip(alloc=1, **address))
    mail.do(Clip(alloc=1, **address))
    mail.do(Clip(free=1, **address))
    mail.do(Clip(free=1, **address))
    assert mail.call(Clip(free=1, **address)).retval == Retval.ENOENT


def test_the_ptp_clock_is_set_adjusted_and_read(mail: Mailbox) -> None:
    mail.do(PtpTime(sc=PtpSub.SET_TIME, tm=1000))
    mail.do(PtpTime(sc=PtpSub.ADJ_TIME, tm=10, sign=1))
    assert mail.do(PtpTime(sc=PtpSub.GET_TIME)).tm == 990


# Parameters


def test_parameters_have_the_values_of_the_profile(card: Card, mail: Mailbox) -> None:
    assert value(mail, Dev.CCLK) == card.profile.card.core_clock
    assert value(mail, Dev.PORTVEC) == 0b11
    assert value(mail, Dev.FWREV) == 0x011B0500
    assert value(mail, Pf.EQ_START) < value(mail, Pf.EQ_END)
    assert value(mail, Pf.FILTER_START) == card.scenario.tid_table.regions.filters


def test_the_filter_mode_is_the_registers(card: Card, mail: Mailbox) -> None:
    mode = card.core.spaces.get(card.chip.r.TP_VLAN_PRI_MAP)
    assert value(mail, Dev.FILTER, FilterSub.MODE_MASK) == mode << 16 | mode != 0


def test_one_unknown_parameter_refuses_the_whole_command(mail: Mailbox) -> None:
    reply = mail.call(Params.reading([param(Dev.CCLK), 0x01990000]))
    assert reply.retval == Retval.EINVAL
    assert reply.param[0].val == 0


def test_only_some_parameters_are_writable(mail: Mailbox) -> None:
    assert mail.call(Params.writing([(param(Dev.CCLK), 1)])).retval == Retval.EINVAL
    mail.do(Params.writing([(param(Pf.CPLFW4MSG_ENCAP), 1)]))
    mail.do(Params.writing([(param(Dmaq.CONM_CTXT, z=3), 1)]))


def test_a_t5_has_no_high_priority_filters(mail: Mailbox) -> None:
    value(mail, Pf.HPFILTER_END)
    t5 = Mailbox(Card.load("t520-cr"))
    assert t5.call(Params.reading([param(Pf.HPFILTER_END)])).retval == Retval.EINVAL


def test_only_a_card_that_uses_host_memory_has_a_size_for_it(mail: Mailbox) -> None:
    assert mail.call(Params.reading([param(Dev.HMA_SIZE)])).retval == Retval.EINVAL
    assert value(Mailbox(Card.load("t6225-so-cr")), Dev.HMA_SIZE) == 8


# Queues


@pytest.mark.parametrize("kind", [EqEth, EqCtrl, EqOfld])
def test_egress_queues_are_allocated_and_freed(
    mail: Mailbox, kind: type[EqEth | EqCtrl | EqOfld]
) -> None:
    first, second = (mail.do(kind(alloc=1, eqsize=64)).eqid for _ in range(2))
    assert first != second
    assert value(mail, Pf.EQ_START) <= first <= value(mail, Pf.EQ_END)
    mail.do(kind(free=1, eqid=first))
    assert mail.call(kind(free=1, eqid=first)).retval == Retval.EINVAL
    assert mail.do(kind(alloc=1, eqsize=64)).eqid == first


def test_an_ingress_queue_is_allocated_with_its_free_list(mail: Mailbox) -> None:
    reply = mail.do(Iq(alloc=1, iqsize=1024, fl0size=72))
    assert reply.iqid == reply.physiqid < 1024
    assert reply.fl0id >= value(mail, Pf.EQ_START)
    assert reply.fl1id == 0xFFFF
    mail.do(Iq(free=1, iqid=reply.iqid, fl0id=reply.fl0id, fl1id=0xFFFF))
    assert mail.call(Iq(free=1, iqid=reply.iqid, fl0id=0xFFFF, fl1id=0xFFFF)).retval


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


def test_a_link_goes_down_without_its_speed(mail: Mailbox) -> None:
    mail.do(PortL1Config32(exec=1, action=PortAction.L1_CFG32, rcap32=int(PortCaps.FC_RX)))
    command = PortInfo32(read=1, action=PortAction.GET_PORT_INFO32)
    assert mail.do(command).lstatus32 == 0


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


def test_configuration_space_is_read_through_the_firmware(card: Card, mail: Mailbox) -> None:
    command = LdstPcie(addrspace=LdstSpace.FUNC_PCIE, read=1, pcie_fn=4, r=0, naccess=2)
    reply = mail.do(command)
    assert reply.data[0] == int.from_bytes(card.config[:4], "little")
    command.r, command.ext_r, command.pcie_fn = 0xFC, 0xF, 7
    assert mail.call(command).retval == Retval.EINVAL


# The device log


def test_register_and_command_agree_where_the_log_is(card: Card, mail: Mailbox) -> None:
    reply = mail.do(Devlog(read=1))
    pointer = card.chip.r.PCIE_FW_PF
    word = card.read(pointer[DEVLOG_PF])
    assert reply.memaddr16_devlog == pointer.get(word, "ADDR16")
    assert reply.memsize_devlog == card.profile.firmware.devlog_kib * 1024


def test_the_log_begins_with_the_boot(card: Card) -> None:
    messages = texts(card)
    assert messages[0] == "firmware 0x011b0500 starting"
    assert "port 1: link up, 100 Gbps" in messages
    assert [entry.seqno for entry in log(card)] == list(range(len(messages)))
    times = [entry.timestamp for entry in log(card)]
    assert times == sorted(times)


def test_commands_are_logged_in_order(card: Card, mail: Mailbox) -> None:
    mail.do(Hello(mbmaster=0xF))
    mail.call(Pfvf(write=1))
    assert texts(card)[-2:] == [
        "PF4: hello, master is PF4",
        f"PF4: command 0x09 refused, return value {Retval.EPERM:d}",
    ]


def test_the_log_is_a_ring(card: Card, mail: Mailbox) -> None:
    before = len(log(card))
    entries = card.profile.firmware.devlog_kib * 1024 // sizeof(DevlogEntry)
    firmware = card.model(Mailboxes).firmware
    while firmware.state.logged < entries + 5:
        mail.call(Pfvf(write=1))
    records = log(card)
    assert before < len(records) == entries
    assert records[0].seqno == 5


def test_a_log_without_a_pointer_is_still_there() -> None:
    card = Card.load("t62100-cr", faults=["no-devlog-pointer"])
    assert card.read(card.chip.r.PCIE_FW_PF[DEVLOG_PF]) == 0
    assert Mailbox(card).do(Devlog(read=1)).memsize_devlog


@pytest.mark.parametrize("kib", [32, 128, 512])
@pytest.mark.parametrize("edc", [1, 2])
def test_the_log_fits_its_memory(kib: int, edc: int) -> None:
    memory = {"edc0": edc, "edc1": edc, "mc0": 0}
    card = Card.load("t520-cr", firmware={"devlog_kib": kib}, memory=memory)
    assert len(log(card)) == card.model(Mailboxes).firmware.state.logged


# Any command


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(opcode=st.integers(0, 255), rest=st.binary(min_size=63, max_size=63))
def test_any_bytes_get_a_reply(opcode: int, rest: bytes, card: Card) -> None:
    """All on one card, one by one, whatever they do to it."""
    reply = card.model(Mailboxes).firmware.execute(4, bytes((opcode,)) + rest)
    assert len(reply) == 64
    assert reply[0] == opcode


def test_commands_are_discovered_in_every_module_that_answers_some() -> None:
    folder = Path(firmware.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "\n@answers(" in path.read_text()}
    commands = (Hello(), Vi(), LdstPcie(), Params(), PortInfo(), Iq(), RssIndTbl())
    found = {answer_to(command).__module__.rpartition(".")[2] for command in commands}
    assert found == modules


def test_only_one_function_answers_a_command() -> None:
    with pytest.raises(ModelError, match="Hello is already answered"):
        answers(Hello)(lambda fw, pf, cmd: cmd)
