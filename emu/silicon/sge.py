"""SGE: the contexts of all queues, its debug words, and the queue bases of each function."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip.firmware import Iq
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.sge import CONTEXT_WORDS, DEBUG_INDICES, ContextType, doorbell_timer
from vmcoredd.emu.contexts import (
    QUEUES,
    ContextTable,
    Fields,
    egress_fields,
    flm_fields,
    free_list_fields,
    ingress_fields,
)
from vmcoredd.emu.firmware.doorbell_timers import BOOT_TICK_US
from vmcoredd.emu.lookup import Index, When
from vmcoredd.emu.scenario import commands
from vmcoredd.emu.scenario.queues import Egress, Function, Ingress
from vmcoredd.emu.silicon.model import Model, fault
from vmcoredd.emu.spaces import WordKind

POINTER_BYTES = 8
CACHED_POINTERS = 8
DOORBELL_MULTIPLES = (1, 2, 4, 6, 8, 10, 12, 16)
"""What firmware sets (assumed)."""
WAITS_FOR_BUFFER, STUCK_SECONDS = "FL_REQ_DATA_FL", 5
"""State of a stuck ingress DMA engine, and for how long."""


class Contexts(Model):
    """A type and a queue id in SGE_CTXT_CMD, a context of six words from SGE_CTXT_DATA0 on."""

    def make(self) -> None:
        self.table = self.spaces.table(
            "sge_contexts", rows=len(ContextType) * QUEUES, width=CONTEXT_WORDS
        )

    def wire(self) -> None:
        command = self.r.SGE_CTXT_CMD
        rows = [Index.field(command, "CtxtType", QUEUES), Index(command, QUEUES - 1)]
        read = When.clear(command, "Opcode")
        self.lookups.add(
            command, self.table, rows, self.r.SGE_CTXT_DATA0, width=CONTEXT_WORDS, when=read
        )
        self.lookups.done(command, clear=command.mask("Busy"))
        self.spaces.plain(self.r.SGE_FLM_CFG, self.r.SGE_FLM_CFG.reset)
        self.contexts = ContextTable(self.spaces, self.memories, self.scenario.memory_map)
        for kind, queue, fields in self._contexts():
            self.contexts.store(kind, queue, fields)
        self._cache_pointers()

    def _contexts(self) -> Iterator[tuple[ContextType, int, Fields]]:
        """Yields what is in use: kind, number, and the fields that are not 0."""
        queues = self.scenario.queues
        for received, free_list in queues.fed:
            command = commands.iq(self.chip, received, free_list, self._page)
            running = {"Generation": received.generation, "InterruptArmed": 1}
            fields = ingress_fields(command) | _indices(received) | running
            yield ContextType.INGRESS, received.id, fields
            if free_list is not None:
                yield from self._free_list(command, free_list)
        for sent in queues.egress:
            if sent.flm is None:
                fields = egress_fields(commands.eq(self.chip, sent, self._page))
                yield ContextType.EGRESS, sent.id, fields | _indices(sent)

    @property
    def _page(self) -> int:
        control = self.r.SGE_CONTROL
        return control.get(control.reset, "EgrStatusPageSize")

    def _free_list(self, command: Iq, queue: Egress) -> Iterator[tuple[ContextType, int, Fields]]:
        flm, ports = queue.flm or 0, self.scenario.profile.ports.count
        yield ContextType.EGRESS, queue.id, free_list_fields(command, 0, flm) | _indices(queue)
        yield ContextType.FLM, flm, flm_fields(command, 0, queue.id) | _indices(queue)
        yield ContextType.CNM, flm, commands.congestion(self.chip, queue.port, ports)

    def _cache_pointers(self) -> None:
        """Stores the next buffers of each free list, as the free list manager does (assumed)."""
        region, random = self.scenario.memory_map["FLM cache"], self.scenario.random("flm cache")
        for queue in self.scenario.queues.free_lists:
            buffers = (random.randrange(1 << 20, 1 << 24) << 12 for _ in range(CACHED_POINTERS))
            data = b"".join(address.to_bytes(POINTER_BYTES, "big") for address in buffers)
            self.memories.write(region.base + (queue.flm or 0) * len(data), data)

    @fault(
        "free-list-empty",
        "The first port's first free list has no buffers left: PIDX = CIDX in DUMP_CONTEXT.",
        reports=True,
    )
    def empty(self) -> None:
        full = self.queue(self.scenario.queues.free_lists, 0)
        for kind, number in ((ContextType.EGRESS, full.id), (ContextType.FLM, full.flm or 0)):
            self.contexts.change(kind, number, PIDX=full.consumed)

    @fault("context-busy", "SGE_CTXT_CMD stays BUSY: DUMP_CONTEXT is good, and holds nothing.")
    def stay_busy(self) -> None:
        command = self.r.SGE_CTXT_CMD
        self.lookups.hang(command, set_=command.mask("Busy"))


def _indices(queue: Egress | Ingress) -> Fields:
    return {"PIDX": queue.produced, "CIDX": queue.consumed}


class Doorbells(Model):
    """SGE_PF_KDOORBELL and SGE_PF_GTS of all functions, which the packet engine handles (C)."""

    def wire(self) -> None:
        for link, register in enumerate((self.r.SGE_PF_KDOORBELL, self.r.SGE_PF_GTS)):
            for function in range(register.count):
                space, index = self.spaces.where(register, function)
                space.set_kind(index, WordKind.DOORBELL, link)


class SgeDebugWords(Model):
    """Two words behind an index; some of them also have a register each."""

    def make(self) -> None:
        self.halves = {
            half: self.spaces.table(f"sge_debug_{half.lower()}", rows=DEBUG_INDICES)
            for half in ("HIGH", "LOW")
        }

    def wire(self) -> None:
        index, random = self.r.SGE_DEBUG_INDEX, self.scenario.activity("sge debug")
        for half, table in self.halves.items():
            self.lookups.index(index, self.r[f"SGE_DEBUG_DATA_{half}"], table, DEBUG_INDICES - 1)
            for i in range(DEBUG_INDICES):
                name = f"SGE_DEBUG_DATA_{half}_INDEX_{i}"
                if name in self.r:
                    register = self.r[name]
                    mask = register.mask(*(field.name for field in register.fields))
                    mask &= ~self.waiting_bits(register)
                    table.words[i] = random.getrandbits(32) & mask
                    self.spaces.set(register, table.words[i])

    @fault(
        "sge-idma{}-stuck",
        "Ingress DMA {} has waited five seconds for a buffer: words 0, 11, 13 of SGE_DEBUG.",
        each=range(2),
        reports=True,
    )
    def stall(self, engine: int) -> None:
        """Word 13 counts core clock cycles in the same state: high for engine 0, low for 1."""
        waits = self.chip.sge.idma_states.index(WAITS_FOR_BUFFER)
        queue = self.queue(self.scenario.queues.received(0), engine).id
        cycles = STUCK_SECONDS * self.scenario.profile.card.core_clock * 1000
        self._show(f"{('HIGH', 'LOW')[engine]}_INDEX_13", U32_MASK, min(cycles, U32_MASK))
        for index, name, value in ((0, "st_idma{}_idma_sm", waits), (11, "idma{}_qid", queue)):
            field = self.r[f"SGE_DEBUG_DATA_LOW_INDEX_{index}"].field(
                "debug_" + name.format(engine)
            )
            self._show(f"LOW_INDEX_{index}", field.mask, field.put(value))

    def _show(self, word: str, mask: int, bits: int) -> None:
        """Stores bits of a word: in its register, and behind the index."""
        half, _, index = word.partition("_INDEX_")
        register = self.r[f"SGE_DEBUG_DATA_{word}"]
        value = self.spaces.get(register) & ~mask | bits
        self.spaces.set(register, value)
        self.halves[half].words[int(index)] = value


class DoorbellTimers(Model):
    """T6: a tick, and eight multiples of it, for how long completions are gathered."""

    def wire(self) -> None:
        if "SGE_DBQ_TIMER_THRESH0" not in self.r:
            return
        tick = BOOT_TICK_US * self.scenario.profile.card.core_clock // 1000
        self.spaces.put(self.r.SGE_GK_CONTROL2, dbq_timer_tick=tick)
        for number, multiple in enumerate(DOORBELL_MULTIPLES):
            register, field = doorbell_timer(number)
            self.spaces.put(self.r[register], **{field: multiple})


class QueueBases(Model):
    """T6: a function in SGE_QBASE_INDEX, its queues in SGE_QBASE_MAP0 to 3."""

    def make(self) -> None:
        if functions := self.chip.sge.qbase_functions:
            self.table = self.spaces.table("sge_qbase", rows=1 << functions.bit_length(), width=4)

    def wire(self) -> None:
        if not self.chip.sge.qbase_functions:
            return
        index, first = self.r.SGE_QBASE_INDEX, self.r.SGE_QBASE_MAP0
        rows = self.table.count // 4
        self.lookups.add(index, self.table, Index(index, rows - 1), first, width=4)
        for number, function in enumerate(self.scenario.queues.functions):
            vf = function.vf
            row = number if vf is None else self.chip.sge.qbase_first_vf + vf
            self.table.fill(4 * row, self._maps(function))

    def _maps(self, function: Function) -> tuple[int, int, int, int]:
        """Returns the words of a function. Sizes are logarithms, rounded up (assumed); only the
        first of two ranges is used."""
        egress, ingress = function.egress_count, function.ingress_count
        if not egress:
            return 0, 0, 0, 0
        sizes = self.r.SGE_QBASE_MAP0.of(
            Egress0_Size=(egress - 1).bit_length(), Ingress0_Size=(ingress - 1).bit_length()
        )
        bases = self.r.SGE_QBASE_MAP3.of(Ingress0_Base=function.ingress)
        return sizes, function.egress, 0, bases
