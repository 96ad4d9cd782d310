"""What is left of a driver that says goodbye, dies, or has its function or the device reset."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from emumail import Mailbox

from vmcoredd.chip import Register
from vmcoredd.chip.firmware import (
    Bye,
    Clip,
    Dev,
    EqEth,
    FwCommand,
    Hello,
    Hma,
    Iq,
    LdstAddress,
    LdstSpace,
    Params,
    PortAction,
    PortCaps,
    PortL1Config32,
    PtpTime,
    Reset,
    RssIndTbl,
    RssViConfig,
    SchedParams,
    Vi,
    ViEnable,
    ViMacExact,
    ViMacHash,
    param,
)
from vmcoredd.chip.firmware.device import PtpSub
from vmcoredd.chip.firmware.interface import MacIndex
from vmcoredd.chip.firmware.queue import SchedRate, SchedUnit
from vmcoredd.emu import Card, Scene, Snapshot
from vmcoredd.emu.config_space import PM_CSR_AT
from vmcoredd.emu.firmware import Firmware
from vmcoredd.emu.silicon.mailbox import Mailboxes
from vmcoredd.emu.spaces import Space

OTHER = 2
"""Another function, with a driver of its own."""
D0, D3 = b"\0\0", b"\3\0"


def use(card: Card) -> None:
    """Gets and sets all that a driver can; another function's driver has something, too."""
    mail, other = Mailbox(card), Mailbox(card, pf=OTHER)
    mail.do(Hello(masterforce=1, mbmaster=4))
    other.do(EqEth(alloc=1, eqsize=64))
    viid = mail.do(Vi(alloc=1, portid=1)).viid
    iq = mail.do(Iq(alloc=1, iqsize=64, fl0size=72)).iqid
    mail.do(EqEth(alloc=1, eqsize=64))
    mail.do(RssIndTbl(viid=viid, niqid=3, iq0=iq, iq1=iq, iq2=iq))
    mail.do(RssViConfig(viid=viid, write=1, defaultq=iq, udpen=1))
    mac = ViMacExact(viid=viid)
    mac.exact[0].valid, mac.exact[0].idx = 1, MacIndex.ADD_PERSIST_MAC
    mac.exact[0].macaddr[:] = [2, 0, 0, 0, 0, 7]
    mail.do(mac)
    mail.do(ViMacHash(viid=viid, entry_type=1, hashvec=3, hashunien=1))
    mail.do(ViEnable(viid=viid, ien=1, een=1))
    for each in (mail, other):
        each.do(Clip(alloc=1, ip_lo=1))
    mail.do(
        Hma(mode=1, soc=1, eoc=1, size=1, naddr=1, addr_size=4, phy_address=(1 << 14, 0, 0, 0, 0))
    )
    rate = {"unit": SchedUnit.BITS, "rate": SchedRate.ABSOLUTE, "cl": 1, "max": 1000}
    mail.do(SchedParams(sc=1, **rate))
    mail.do(Params.writing([(param(Dev.DBQ_TIMERTICK), 7)]))
    mail.do(PtpTime(sc=PtpSub.SET_TIME, tm=5))
    speed = int(PortCaps[f"SPEED_{card.profile.ports.speed}G"])
    mail.do(PortL1Config32(portid=1, action=PortAction.L1_CFG32, rcap32=speed))
    key = card.chip.r.TP_RSS_SECRET_KEY0
    mail.do(LdstAddress(addrspace=LdstSpace.TP_PIO, write=1, addr=int(key), val=77))
    card.core.spaces.set(card.chip.r.MPS_PORT_STAT_RX_PORT_BYTES_L, 9)


def get(name: str, element: int = 0) -> Callable[[Card, Firmware], int]:
    return lambda card, fw: card.core.spaces.get(card.chip.r[name], element)


HELD: dict[str, Callable[[Card, Firmware], object]] = {
    "interfaces": lambda card, fw: [row for row in fw.state.interfaces.values() if row.pf == 4],
    "ingress queues": lambda card, fw: fw.state.ingress,
    "egress queues": lambda card, fw: [q for q in fw.state.egress.values() if q.pf == 4],
    "engine's queues": lambda card, fw: [q for q in card.engine.c.egress if q.kind and q.pf == 4],
    "addresses": lambda card, fw: fw.state.macs,
    "hash filters": get("MPS_PORT_CLS_HASH_CTL", 1),
    "directions": get("MPS_PORT_CTL", 1),
    "RSS": lambda card, fw: any(card.core.spaces.space("tp_rss_lkp_table").words),
    "local IPv6 addresses": lambda card, fw: [u for u in fw.state.local_ipv6 if u.pf == 4],
    "host memory": lambda card, fw: fw.state.host_pages,
}
"""What a function's driver has."""
SET: dict[str, Callable[[Card, Firmware], object]] = {
    "rates": lambda card, fw: any(card.core.spaces.space("tp_tm_pio").words),
    "timers": lambda card, fw: fw.spaces.get(card.chip.r.SGE_GK_CONTROL2),
    "clock": lambda card, fw: fw.state.clock,
    "links": lambda card, fw: [link.wanted for link in fw.state.links],
    "key": get("TP_RSS_SECRET_KEY0"),
    "statistics": get("MPS_PORT_STAT_RX_PORT_BYTES_L"),
    "another function's queues": lambda card, fw: [
        number for number, queue in fw.state.egress.items() if queue.pf == OTHER
    ],
    "another function's addresses": lambda card, fw: [
        user for user in fw.state.local_ipv6 if user.pf == OTHER
    ],
}
"""What is of the device, or of another function."""


def command(one: FwCommand) -> Callable[[Card], object]:
    return lambda card: Mailbox(card).do(one)


def sleep(card: Card) -> None:
    card.config_write(PM_CSR_AT, D3)
    card.config_write(PM_CSR_AT, D0)


LEAVES: dict[str, tuple[Callable[[Card], object], int | None]] = {
    "BYE": (command(Bye()), None),
    "HELLO of a new driver": (command(Hello(masterforce=1, mbmaster=4)), 4),
    "FLR": (Card.reset, None),
    "D3": (sleep, None),
}
"""How a driver goes, and who is master then."""


@pytest.fixture(scope="module")
def used() -> tuple[Card, Snapshot]:
    card = Card.load("t6225-so-cr", scene=Scene.FRESH, memory={"hma": 1})
    use(card)
    return card, card.snapshot()


@pytest.fixture
def card(used: tuple[Card, Snapshot]) -> Card:
    one, snapshot = used
    one.restore(snapshot)
    return one


@pytest.fixture
def fw(card: Card) -> Firmware:
    return card.model(Mailboxes).firmware


def test_the_driver_has_everything(card: Card, fw: Firmware) -> None:
    assert [name for name, has in (HELD | SET).items() if not has(card, fw)] == []


@pytest.mark.parametrize("how", LEAVES)
def test_a_driver_that_goes_leaves_what_is_of_the_device(
    card: Card, fw: Firmware, how: str
) -> None:
    go, master = LEAVES[how]
    before = {name: has(card, fw) for name, has in SET.items()}
    go(card)
    assert [name for name, has in HELD.items() if has(card, fw)] == []
    assert {name: has(card, fw) for name, has in SET.items()} == before
    assert (fw.state.master, fw.state.initialised) == (master, True)


TRACES = (
    *("SGE_DEBUG_", "PCIE_PDEBUG_", "PCIE_CDEBUG_", "TP_DBG_", "TP_MIB_DEBUG", "ULP_TX_LA_"),
    *("ULP_RX_LA_", "TP_MTU_TABLE", "TP_MIB_DATA", "TP_FLM_FREE_", "MPS_RPLC_MAP_CTL"),
    *("MPS_VF_RPLCT_MAP", "MPS_RX_MAC_BG_PG_", "MPS_RX_LPBK_BG_PG_", "MPS_RX_PG_RSV"),
    *("MAC_PORT_LINK_STATUS", "CIM_PF_MAILBOX_DATA", "PCIE_FW"),
)
"""Registers that tell of the past: debug words, what was read last, pages in use, commands."""
TRACE_SPACES = {
    *("cim", "cim_ibq", "cim_obq", "pcie_pdbg", "pcie_cdbg", "ma_local", "hma_local", "tp_la"),
    *("ulp_rx_la", "ulp_rx_la_wrptr", "pm_rx_dbg", "pm_tx_dbg", "sge_debug_high"),
    *("sge_debug_low", *(f"ulp_tx_la_{number}" for number in range(11)), "ulp_tx_asic_debug"),
}


def differing(one: Card, other: Card) -> set[str]:
    """The names of words that differ, but for those that tell of the past."""
    found: set[str] = set()
    for mine, theirs in zip(one.core.spaces.all, other.core.spaces.all, strict=True):
        if mine.name not in TRACE_SPACES and bytes(mine.words) != bytes(theirs.words):
            found |= set(_names(one, mine, theirs))
    return {name for name in found if not name.startswith(TRACES)}


def _names(card: Card, mine: Space, theirs: Space) -> Iterator[str]:
    for index, (a, b) in enumerate(zip(mine.words, theirs.words, strict=True)):
        if a != b:
            found = card.chip.r.at(index * mine.stride, mine.name)
            register: Register | None = found.register if found else None
            yield register.name if register else f"{mine.name}[{index}]"


@pytest.mark.parametrize("scene", Scene.chosen())
@pytest.mark.parametrize("name", ["t520-cr", "t6225-so-cr"])
def test_after_a_reset_of_the_device_the_card_is_as_after_power_on(name: str, scene: Scene) -> None:
    memory = {"memory": {"hma": 1}} if name == "t6225-so-cr" else {}
    card = Card.load(name, scene=scene, **memory)
    if memory:
        use(card)
    mail = Mailbox(card)
    mail.do(Hello(masterforce=1, mbmaster=4))
    mail.do(Reset(val=3))
    fresh = Card.load(name, scene=Scene.FRESH, **memory)
    assert differing(card, fresh) == set()
    state, first = card.model(Mailboxes).firmware.state, fresh.model(Mailboxes).firmware.state
    for field in ("interfaces", "ingress", "egress", "macs", "local_ipv6", "host_pages", "clock"):
        assert getattr(state, field) == getattr(first, field), field
    assert [link.wanted for link in state.links] == [0] * len(state.links)
    assert (state.master, state.initialised, state.caps_agreed) == (4, False, False)
