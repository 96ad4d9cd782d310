"""CIM: host access to the firmware processor's registers, its queues, and its page tables."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.cim import (
    INBOUND_WORDS,
    OUTBOUND,
    PBT_ADDRESS_ENTRY,
    PBT_ADDRESS_SHIFT,
    PBT_TABLES,
    QUEUE_UNIT_BYTES,
    THRESHOLD_UNIT,
    Queue,
)
from vmcoredd.emu.lookup import Index, When
from vmcoredd.emu.scenario.cim_queues import MEMORY_WORDS, CimQueue
from vmcoredd.emu.silicon.model import Model, fault

CIM_WORDS = 0x5000 // 4
"""The CIM's address space, past the last address that the driver reads (T6: 0x4c74)."""
SELECTORS = 32
"""Values of CIM_QUEUE_CONFIG_REF."""
PAGE_BYTES = 4096
PAGE_IN_USE = 1
"""The bit of a page table's entry that marks it as used (assumed)."""


def _address_entry(page: int) -> int:
    """Returns a valid entry of a table that holds addresses."""
    values = {"valid": 1, "allocated": 1, "address": page >> PBT_ADDRESS_SHIFT}
    return sum(field.put(values.get(field.name, 0)) for field in PBT_ADDRESS_ENTRY)


class HostAccess(Model):
    """Space `cim`: an address in HOST_ACC_CTRL, a word in HOST_ACC_DATA."""

    def make(self) -> None:
        self.space = self.spaces.registers("cim", CIM_WORDS)

    def wire(self) -> None:
        ctrl, data = self.r.CIM_HOST_ACC_CTRL, self.r.CIM_HOST_ACC_DATA
        address = Index(ctrl, ctrl.field("HostAddr").mask >> 2, 2)
        read, write = When.clear(ctrl, "HostWrite"), When.set(ctrl, "HostWrite")
        self.lookups.add(ctrl, self.space, address, data, when=read)
        self.lookups.add(ctrl, self.space, address, data, when=write, store=True)
        self.lookups.done(ctrl, clear=ctrl.mask("HostBusy"))

    @fault("cim-host-busy", "HOSTBUSY stays set: CIM_LA, CIM_QCFG, UP_CIM_INDIRECT, PBT fail.")
    def stay_busy(self) -> None:
        ctrl = self.r.CIM_HOST_ACC_CTRL
        self.lookups.hang(ctrl, set_=ctrl.mask("HostBusy"))

    @fault("cim-host-hangs", "The first access sets HOSTBUSY for good: -11, then -16.")
    def hang(self) -> None:
        ctrl = self.r.CIM_HOST_ACC_CTRL
        self.lookups.hang(ctrl, set_=ctrl.mask("HostBusy"), now=False)


class Queues(Model):
    """Configuration, pointers and content of the queues."""

    def make(self) -> None:
        self.configs = self.spaces.table("cim_queue_config", rows=SELECTORS)
        self.inbound = self.spaces.table("cim_ibq", rows=MEMORY_WORDS)
        self.outbound = self.spaces.table("cim_obq", rows=MEMORY_WORDS)

    def wire(self) -> None:
        r, queues = self.r, self.scenario.cim_queues
        ref, ctrl = r.CIM_QUEUE_CONFIG_REF, r.CIM_QUEUE_CONFIG_CTRL
        for queue in (*queues.inbound, *queues.outbound):
            self.configs.words[self._select(queue.queue)] = self._config(queue)
        for queue in queues.inbound:
            self.inbound.fill(queue.queue.number * INBOUND_WORDS, queue.content)
            self._pointers(f"UP_IBQ_{queue.queue.number}", queue)
        for queue in queues.outbound:
            self.outbound.fill(queue.base // 4, queue.content)
            self._pointers(f"UP_OBQ_{queue.queue.number}", queue)
            self._outbound_address(queue)
        self.lookups.index(ref, ctrl, self.configs, SELECTORS - 1)
        self._debug(r.CIM_IBQ_DBG_CFG, r.CIM_IBQ_DBG_DATA, "IbqDbg")
        self._debug(r.CIM_OBQ_DBG_CFG, r.CIM_OBQ_DBG_DATA, "ObqDbg")

    def _select(self, queue: Queue) -> int:
        ref = self.r.CIM_QUEUE_CONFIG_REF
        return ref.of(**{queue.select: 1, "QueNumSelect": queue.number})

    def _config(self, queue: CimQueue) -> int:
        return self.r.CIM_QUEUE_CONFIG_CTRL.of(
            QueSize=queue.size // QUEUE_UNIT_BYTES,
            QueBase=queue.base // QUEUE_UNIT_BYTES,
            QueFullThrsh=queue.threshold // THRESHOLD_UNIT,
        )

    def _pointers(self, prefix: str, queue: CimQueue) -> None:
        """Sets a queue's registers, and their shadows if the chip has them."""
        for name in (prefix, f"{prefix}_SHADOW"):
            if f"{name}_RDADDR" in self.r:
                read, write = self.r[f"{name}_RDADDR"], self.r[f"{name}_WRADDR"]
                status, packets = self.r[f"{name}_STATUS"], self.r[f"{name}_PKTCNT"]
                self.spaces.set(read, queue.read)
                self.spaces.set(write, queue.write)
                self.spaces.fields(status, QueRemFlits=queue.free_flits)
                self.spaces.fields(packets, QueEOPCnt=queue.packets, QueSOPCnt=queue.packets)

    def _outbound_address(self, queue: CimQueue) -> None:
        """Sets REALADDR, the position of the next flit in the outbound memory."""
        number = queue.queue.number
        for name in (f"UP_OBQ_{number}", f"UP_OBQ_{number}_SHADOW"):
            if f"{name}_REALADDR" in self.r:
                self.spaces.set(self.r[f"{name}_REALADDR"], queue.base + queue.write)
                config = self.r[f"{name}_CONFIG"]
                size, base = queue.size // QUEUE_UNIT_BYTES, queue.base // QUEUE_UNIT_BYTES
                self.spaces.fields(config, QueSize=size, QueBase=base)

    def _debug(self, config: Register, data: Register, prefix: str) -> None:
        memory = self.inbound if prefix == "IbqDbg" else self.outbound
        when = When.set(config, f"{prefix}En")
        self.lookups.add(config, memory, Index.field(config, f"{prefix}Addr"), data, when=when)
        self.lookups.done(config, clear=config.mask(f"{prefix}Busy"))

    @fault("cim-ibq-busy", "IBQ debug access stays BUSY: six entities fail after 10^6 reads each.")
    def keep_inbound_busy(self) -> None:
        config = self.r.CIM_IBQ_DBG_CFG
        self.lookups.hang(config, set_=config.mask("IbqDbgBusy"))

    @fault("cim-obq-busy", "OBQ debug access stays BUSY: eight entities fail with -11.")
    def keep_outbound_busy(self) -> None:
        config = self.r.CIM_OBQ_DBG_CFG
        self.lookups.hang(config, set_=config.mask("ObqDbgBusy"))

    @fault("cim-obq-empty", "The outbound queues have size 0: eight entities fail.")
    def lose_outbound(self) -> None:
        size = self.r.CIM_QUEUE_CONFIG_CTRL.mask("QueSize")
        for queue in OUTBOUND:
            self.configs.words[self._select(queue)] &= ~size


class PageTables(Model):
    """Four tables in the CIM's address space that map the processor's pages to adapter memory.

    An entry of the first two is as PBT_ADDRESS_ENTRY says. No source describes those of the others:
    here they are a page's address, with a bit that marks it as used (assumed). The last table has
    an entry for each page.
    """

    def wire(self) -> None:
        region, space = self.scenario.memory_map["uP RAM"], self.spaces.space("cim")
        random = self.scenario.random("pbt")
        pages = range(region.base, region.base + region.size, PAGE_BYTES)
        for table in PBT_TABLES[:-1]:
            chosen = [random.choice(pages) for _ in range(table.words)]
            entry = _address_entry if table.holds_addresses else PAGE_IN_USE.__or__
            space.fill(space.index(table.address), [entry(page) for page in chosen])
        table = PBT_TABLES[-1]
        mapped = [page | PAGE_IN_USE for page in pages[: table.words]]
        space.fill(space.index(table.address), mapped)
