"""The firmware's commands about the device and its parameters, and commands of random bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from emumail import Mailbox
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmcoredd.chip.firmware import (
    Bye,
    CapsConfig,
    Clip,
    Dev,
    Dmaq,
    FwCommand,
    Hello,
    Hma,
    Initialize,
    Iq,
    LdstPcie,
    MemType,
    Params,
    Pf,
    Pfvf,
    PortAction,
    PortCaps,
    PortInfo,
    PortL1Config32,
    PortStats,
    PtpTime,
    Reset,
    Retval,
    RssIndTbl,
    Sched,
    Vi,
    ViMacExact,
    param,
)
from vmcoredd.chip.firmware.device import PtpSub
from vmcoredd.chip.firmware.params import FilterSub
from vmcoredd.emu import Card, ModelError, firmware
from vmcoredd.emu.firmware.answers import answer_to, answers
from vmcoredd.emu.silicon.mailbox import Mailboxes


@pytest.fixture
def card(strict_card: Card) -> Card:
    return strict_card


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


@pytest.mark.parametrize("name", ["t520-cr", "t62100-cr"])
def test_a_reset_leaves_nothing_of_what_drivers_did(name: str) -> None:
    card = Card.load(name)
    mail, spaces, r = Mailbox(card), card.core.spaces, card.chip.r
    mail.do(Hello(mbmaster=4))
    spaces.put(r.SGE_CONTROL, PktShift=0, IngPadBoundary=3)
    spaces.put(r.SGE_CONTROL2, IngPackBoundary=2)
    speed = PortCaps[f"SPEED_{card.profile.ports.speed}G"]
    mail.do(PortL1Config32(portid=0, action=PortAction.L1_CFG32, rcap32=speed))
    mail.do(Reset(val=3))
    fresh = Card.load(name, scene="fresh")
    for register in ("SGE_CONTROL", "SGE_CONTROL2", "SGE_FL_BUFFER_SIZE3", "SGE_INT_ENABLE3"):
        assert spaces.get(r[register]) == fresh.core.spaces.get(r[register]), register
    for table in ("sge_contexts", "tp_rss_lkp_table", "tp_mib"):
        assert bytes(spaces.space(table).words) == bytes(fresh.core.spaces.space(table).words)
    assert spaces.get(r.MPS_PORT_STAT_RX_PORT_BYTES_L) == 0
    state = card.model(Mailboxes).firmware.state
    assert [(link.up, link.wanted) for link in state.links] == [(False, 0)] * 2
    assert (state.master, state.initialised) == (4, False)


@pytest.mark.parametrize("command", [Reset(val=3), Initialize(), CapsConfig(write=1)])
def test_only_the_master_may_change_the_device(card: Card, command: FwCommand) -> None:
    assert Mailbox(card, pf=5).call(command).retval == Retval.EPERM
    assert Mailbox(Card.load("t62100-cr", scene="fresh")).call(command).retval == Retval.EPERM


@pytest.fixture
def slave() -> Card:
    """A card whose master is another function, which nobody drives."""
    return Card.load("t62100-cr", scene="fresh", faults=["firmware-other-master"])


def test_a_driver_that_finds_a_master_may_use_the_device_and_not_change_it(slave: Card) -> None:
    mail = Mailbox(slave)
    reply = mail.do(Hello(mbmaster=0xF))
    assert (reply.mbmaster, reply.init) == (0, 1)
    for command in (Reset(val=3), Initialize(), CapsConfig(write=1)):
        assert mail.call(command).retval == Retval.EPERM
    assert mail.do(CapsConfig(read=1)).niccaps
    assert mail.do(Pfvf(read=1, pfn=4)).neq
    assert mail.do(Vi(alloc=1, portid=1)).viid
    assert pcie_fw(slave) == (1, 0)


def test_a_driver_that_insists_takes_over_from_a_master(slave: Card) -> None:
    mail = Mailbox(slave)
    assert mail.do(Hello(masterforce=1, mbmaster=4)).mbmaster == 4
    assert pcie_fw(slave) == (1, 4)
    mail.do(Reset(val=3))


def pcie_fw(card: Card) -> tuple[int, int]:
    """Returns whether PCIE_FW names a master, and which."""
    shown = card.chip.r.PCIE_FW.decode(card.read(card.chip.r.PCIE_FW))
    return shown["MASTER_VLD"], shown["MASTER"]


def test_a_configuration_file_at_another_address_is_not_found(mail: Mailbox) -> None:
    command = CapsConfig(read=1, cfvalid=1, memtype_cf=MemType.FLASH, memaddr64k_cf=1)
    assert mail.call(command).retval == Retval.ENOENT


CONFIG = """# Comments
[global]
\trss_glb_config_mode = basicvirtual
\tfilterMode = fcoemask, srvrsram, {mode} # fields
\tfilterMask = port, vlan
\t{more}

[function "4"]
\tfilterMode = fcoe

[fini]
\tversion = 0x1
"""


def with_config(name: str, text: str) -> tuple[Card, Mailbox, CapsConfig]:
    """Writes a file where firmware says, as a driver that initialises a card does, and has it
    read; returns the reply."""
    card = Card.load(name, scene="fresh")
    mail = Mailbox(card)
    mail.do(Hello(mbmaster=4))
    mail.do(Reset(val=3))
    place = mail.parameter(Dev.CF)
    memory = {each.type.number: each for each in card.memories}[place >> 8]
    card.memories.write(memory.base + ((place & 0xFF) << 16), text.encode() + b"\xff" * 4)
    asked = CapsConfig(read=1, cfvalid=1, memtype_cf=place >> 8, memaddr64k_cf=place & 0xFF)
    return card, mail, mail.call(asked)


@pytest.mark.parametrize("name", ["t520-cr", "t62100-cr"])
@pytest.mark.parametrize(
    ("mode", "more", "bits", "vnic"),
    [
        ("ethertype, vlan, port", "", 0x4A, 0),
        ("ethertype, vnic_id, port", "", 0x46, 1),
        ("ethertype, vnic_id, port", "vnicMode = outer_vlan", 0x46, 0),
    ],
)
def test_a_drivers_configuration_file_chooses_the_filter_mode(
    name: str, mode: str, more: str, bits: int, vnic: int
) -> None:
    card, mail, reply = with_config(name, CONFIG.format(mode=mode, more=more))
    assert reply.retval == 0
    mail.do(CapsConfig(write=1, niccaps=reply.niccaps))
    mail.do(Initialize())
    mail.do(CapsConfig(read=1))
    flags = 0x6000
    told = (flags | bits) << 16 | 0x0A
    assert mail.parameter(Dev.FILTER, FilterSub.MODE_MASK) == told
    r, spaces = card.chip.r, card.core.spaces
    assert spaces.get(r.TP_VLAN_PRI_MAP) == flags | bits
    assert r.TP_INGRESS_CONFIG.get(spaces.get(r.TP_INGRESS_CONFIG), "VNIC") == vnic
    assert [each.width > 0 for each in card.engine.c.tuple] == [bits >> n & 1 for n in range(10)]
    assert card.engine.c.matches_interfaces == vnic
    mail.do(Reset(val=3))
    assert mail.parameter(Dev.FILTER, FilterSub.MODE_MASK) == 0x272 << 16 | 0x272


@pytest.mark.parametrize("text", ["", "[global]\n\tnvi = 1\n", "[function]\nfilterMode = fcoe\n"])
def test_a_configuration_file_without_a_filter_mode_leaves_it(text: str) -> None:
    _, mail, reply = with_config("t62100-cr", text)
    assert reply.retval == 0
    assert mail.parameter(Dev.FILTER, FilterSub.MODE_MASK) == 0x272 << 16 | 0x272


@pytest.mark.parametrize("mode", ["vlan, vnic_id, ethertype", "vlan, colour", ""])
def test_a_filter_mode_that_cannot_be_is_refused(mode: str) -> None:
    _, mail, reply = with_config("t62100-cr", f"[global]\nfilterMode = {mode}\n")
    assert reply.retval == Retval.EINVAL
    assert mail.parameter(Dev.FILTER, FilterSub.MODE_MASK) == 0x272 << 16 | 0x272


@pytest.mark.parametrize("place", [(MemType.EDC1, 0xFF), (MemType.HMA, 0), (3, 0)])
def test_a_configuration_file_beyond_the_memories_is_not_found(
    mail: Mailbox, place: tuple[int, int]
) -> None:
    kind, unit = place
    command = CapsConfig(read=1, cfvalid=1, memtype_cf=kind, memaddr64k_cf=unit)
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
    assert mail.parameter(Dev.CCLK) == card.profile.card.core_clock
    assert mail.parameter(Dev.PORTVEC) == 0b11
    assert mail.parameter(Dev.FWREV) == 0x011B0500
    assert mail.parameter(Pf.EQ_START) < mail.parameter(Pf.EQ_END)
    assert mail.parameter(Pf.FILTER_START) == card.scenario.tid_table.regions.filters


def test_the_filter_mode_is_the_registers(card: Card, mail: Mailbox) -> None:
    mode = card.core.spaces.get(card.chip.r.TP_VLAN_PRI_MAP)
    assert mail.parameter(Dev.FILTER, FilterSub.MODE_MASK) == mode << 16 | mode != 0


def test_one_unknown_parameter_refuses_the_whole_command(mail: Mailbox) -> None:
    reply = mail.call(Params.reading([param(Dev.CCLK), 0x01990000]))
    assert reply.retval == Retval.EINVAL
    assert reply.param[0].val == 0


def test_only_some_parameters_are_writable(mail: Mailbox) -> None:
    assert mail.call(Params.writing([(param(Dev.CCLK), 1)])).retval == Retval.EINVAL
    mail.do(Params.writing([(param(Pf.CPLFW4MSG_ENCAP), 1)]))
    assert mail.call(Params.writing([(param(Dmaq.CONM_CTXT, z=3), 1)])).retval == Retval.EINVAL


def test_a_t5_has_no_high_priority_filters(mail: Mailbox) -> None:
    mail.parameter(Pf.HPFILTER_END)
    t5 = Mailbox(Card.load("t520-cr"))
    assert t5.call(Params.reading([param(Pf.HPFILTER_END)])).retval == Retval.EINVAL


def test_only_a_card_that_uses_host_memory_has_a_size_for_it(mail: Mailbox) -> None:
    assert mail.call(Params.reading([param(Dev.HMA_SIZE)])).retval == Retval.EINVAL
    assert Mailbox(Card.load("t6225-so-cr")).parameter(Dev.HMA_SIZE) == 8


def test_ports_have_the_buffer_groups_that_the_driver_computes() -> None:
    """compute_mps_bg_map(): a byte for each port."""
    expected = {"t520-cr": 0x0C03, "t540-cr": 0x08040201, "t62100-cr": 0x0401}
    for name, groups in expected.items():
        assert Mailbox(Card.load(name)).parameter(Dev.MPSBGMAP) == groups


def test_the_parameters_of_other_public_drivers_are_answered(card: Card, mail: Mailbox) -> None:
    """FreeBSD's and DPDK's give up their probe without NTID."""
    regions = card.scenario.tid_table.regions
    assert mail.parameter(Dev.NTID) == regions.servers - regions.active + regions.hash_tids
    assert mail.parameter(Dev.FLOWC_BUFFIFO_SZ) > 0
    assert mail.parameter(Pf.MAX_PKTS_PER_ETH_TX_PKTS_WR) == 15
    assert (mail.parameter(Pf.GET_SMT_START), mail.parameter(Pf.GET_SMT_SIZE)) == (0, 256)
    region = card.scenario.memory_map["TDDP region"]
    assert (mail.parameter(Pf.TDDP_START), mail.parameter(Pf.TDDP_END)) == (
        region.base,
        region.last,
    )
    mail.do(Params.writing([(param(Dev.VI_ENABLE_INGRESS_AFTER_LINKUP), 1)]))


def test_a_t6_has_doorbell_queue_timers(card: Card, mail: Mailbox) -> None:
    timers = [param(Dev.DBQ_TIMER, y) for y in range(7)]
    values = [one.val for one in mail.do(Params.reading(timers)).asked]
    assert values == [50, 100, 200, 300, 400, 500, 600]
    mail.do(Params.writing([(param(Dev.DBQ_TIMERTICK), 20)]))
    assert (mail.parameter(Dev.DBQ_TIMERTICK), mail.parameter(Dev.DBQ_TIMER, 7)) == (20, 320)
    control = card.chip.r.SGE_GK_CONTROL2
    ticks = card.profile.card.core_clock // 1000 * 20
    assert control.get(card.core.spaces.get(control), "dbq_timer_tick") == ticks


def test_doorbell_queue_timers_have_limits_and_a_t5_has_none(mail: Mailbox) -> None:
    for tick in (0, 1 << 16):
        write = Params.writing([(param(Dev.DBQ_TIMERTICK), tick)])
        assert mail.call(write).retval == Retval.EINVAL
    assert mail.call(Params.reading([param(Dev.DBQ_TIMER, 8)])).retval == Retval.EINVAL
    t5 = Mailbox(Card.load("t520-cr"))
    assert t5.call(Params.reading([param(Dev.DBQ_TIMERTICK)])).retval == Retval.EINVAL


# Host memory


def pages(first: int, count: int, **values: int) -> Hma:
    """A command as adap_config_hma() sends it, with pages of 16 KiB."""
    made = Hma(write=1, mode=1, naddr=count, size=8, addr_size=4, **values)
    for i in range(count):
        made.phy_address[i] = (first + i) << 14
    return made


def test_the_driver_gives_host_memory_in_several_commands() -> None:
    card = Card.load("t6225-so-cr")
    mail, state = Mailbox(card), card.model(Mailboxes).firmware.state
    mail.do(Hello(mbmaster=4))
    for first in range(0, 512, 4):
        mail.do(pages(first, 4, soc=int(first == 0), eoc=int(first == 508)))
    assert state.host_pages[4] == tuple(n << 14 for n in range(512))
    assert mail.call(pages(512, 1)).retval == Retval.EINVAL
    mail.do(pages(7, 1, soc=1))
    assert state.host_pages[4] == (7 << 14,)
    mail.do(Bye())
    assert state.host_pages == {}


def test_host_memory_is_refused_without_need(mail: Mailbox) -> None:
    assert mail.call(pages(0, 1, soc=1)).retval == Retval.EINVAL
    needy = Mailbox(Card.load("t6225-so-cr"))
    for wrong in ({"naddr": 6}, {"naddr": 0}, {"mode": 0}, {"size": 9}, {"addr_size": 0}):
        command = pages(0, 1, soc=1)
        for name, value in wrong.items():
            setattr(command, name, value)
        assert needy.call(command).retval == Retval.EINVAL


# Any command


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(opcode=st.integers(0, 255), rest=st.binary(min_size=63, max_size=63))
def test_any_bytes_get_a_reply(opcode: int, rest: bytes, card: Card) -> None:
    """Executes them one after another on one card, with all their effects."""
    reply = card.model(Mailboxes).firmware.execute(4, bytes((opcode,)) + rest)
    assert len(reply) == 64
    assert reply[0] == opcode


def test_commands_are_discovered_in_every_module_that_answers_some() -> None:
    folder = Path(firmware.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "\n@answers(" in path.read_text()}
    requests = (Hello, Vi, ViMacExact, LdstPcie, Params, PortInfo, PortStats, Iq, RssIndTbl, Sched)
    commands = [kind() for kind in requests]
    found = {answer_to(command).__module__.rpartition(".")[2] for command in commands}
    assert found == modules


def test_only_one_function_answers_a_command() -> None:
    with pytest.raises(ModelError, match="Hello is already answered"):
        answers(Hello)(lambda fw, pf, cmd: cmd)
