"""SGE: the contexts of all queues, its debug words, and the queue bases of each function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.pci import PF
from vmcoredd.chip.sge import (
    CONTEXT_WORDS,
    DEBUG_INDICES,
    STATUS_DESCRIPTORS,
    STATUS_ENTRIES,
    ContextType,
    encode_context,
)
from vmcoredd.emu.lookup import Index, When
from vmcoredd.emu.scenario.queues import INGRESS_ENTRIES, Egress, Function, Ingress
from vmcoredd.emu.silicon.model import Model, fault

QUEUES = 1 << 13
"""Contexts of each kind in the table."""
ADDRESS_SHIFT = 9
"""BaseAddress counts units of 512 bytes."""
FUNCTION_SHIFT = 8
"""FID holds the physical function above the virtual one (assumed)."""
FLUSH_THRESHOLD = 3
IN_MEMORY = {ContextType.EGRESS: "DBQ contexts", ContextType.INGRESS: "IMSG contexts"}
POINTER_BYTES = 8
CACHED_POINTERS = 8
WAITS_FOR_BUFFER, STUCK_SECONDS = "FL_REQ_DATA_FL", 5
"""State of a stuck ingress DMA engine, and for how long."""
CONGESTION_BY_CHANNEL = 2
CHANNEL_SHIFT = 2
"""CngTPMode, and CngChMap bits per channel (sge.c, t4_sge_alloc_rxq())."""


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
        for kind, queue, words in self._contexts():
            self.table.fill((kind * QUEUES + queue) * CONTEXT_WORDS, words)
            self._to_memory(kind, queue, words)
        self._cache_pointers()

    def _contexts(self) -> Iterator[tuple[ContextType, int, tuple[int, ...]]]:
        queues = self.scenario.queues
        for received in queues.ingress:
            yield ContextType.INGRESS, received.id, self._ingress(received)
        for sent in queues.egress:
            yield ContextType.EGRESS, sent.id, self._egress(sent)
            if sent.flm is not None:
                yield ContextType.FLM, sent.flm, self._free_list(sent)
                yield ContextType.CNM, sent.flm, self._congestion(sent)

    def _egress(self, queue: Egress) -> tuple[int, ...]:
        free_list = queue.flm is not None
        control = self.r.SGE_CONTROL
        page = control.get(control.reset, "EgrStatusPageSize")
        kind = {"QueueType": 1, "FLMcontextID": queue.flm or 0} if free_list else {}
        return encode_context(
            self.chip.sge.context_fields(ContextType.EGRESS, free_list=free_list),
            Valid=1,
            BaseAddress=queue.address >> ADDRESS_SHIFT,
            QueueSize=queue.entries + STATUS_DESCRIPTORS[page],
            PIDX=queue.produced,
            CIDX=queue.consumed,
            FID=PF << FUNCTION_SHIFT,
            HostFCMode=0 if free_list else 1,
            CIDXFlushThresh=FLUSH_THRESHOLD,
            FetchRO=1,
            **kind,
        )

    def _ingress(self, queue: Ingress) -> tuple[int, ...]:
        return encode_context(
            self.chip.sge.context_fields(ContextType.INGRESS),
            Queue_Valid=1,
            BaseAddress=queue.address >> ADDRESS_SHIFT,
            QueueSize=INGRESS_ENTRIES + STATUS_ENTRIES >> 4,
            QueueEntrySize=2,
            PIDX=queue.produced,
            CIDX=queue.consumed,
            Generation=queue.generation,
            InterruptIDX=queue.vector,
            InterruptArmed=1,
            GTSmode=1,
            RelaxedOrdering=1,
            CongestionMgtEnable=int(queue.port is not None),
        )

    def _free_list(self, queue: Egress) -> tuple[int, ...]:
        return encode_context(
            self.chip.sge.context_fields(ContextType.FLM),
            Valid=1,
            EQid=queue.id,
            PIDX=queue.produced,
            CIDX=queue.consumed,
            PadEn=1,
            RelaxedOrdering=1,
        )

    def _congestion(self, queue: Egress) -> tuple[int, ...]:
        channel = 1 << (queue.port << CHANNEL_SHIFT)
        layout = self.chip.sge.context_fields(ContextType.CNM)
        return encode_context(layout, CngTPMode=CONGESTION_BY_CHANNEL, CngChMap=channel)

    def _to_memory(self, kind: ContextType, queue: int, words: tuple[int, ...]) -> None:
        """Stores each pair of words with its highest byte first (cudbg_lib.c swaps them back)."""
        if kind in IN_MEMORY:
            region = self.scenario.memory_map[IN_MEMORY[kind]]
            data = b"".join(word.to_bytes(4, "little") for word in words)
            swapped = b"".join(data[at : at + 8][::-1] for at in range(0, len(data), 8))
            if (queue + 1) * len(data) <= region.size:
                self.memories.write(region.base + queue * len(data), swapped)

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
        queue = replace(full, produced=full.consumed)
        contexts = (
            (ContextType.EGRESS, queue.id, self._egress(queue)),
            (ContextType.FLM, queue.flm or 0, self._free_list(queue)),
        )
        for kind, number, words in contexts:
            self.table.fill((kind * QUEUES + number) * CONTEXT_WORDS, words)
            self._to_memory(kind, number, words)

    @fault("context-busy", "SGE_CTXT_CMD stays BUSY: DUMP_CONTEXT is good, and holds nothing.")
    def stay_busy(self) -> None:
        command = self.r.SGE_CTXT_CMD
        self.lookups.hang(command, set_=command.mask("Busy"))


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
        """Sizes are logarithms, rounded up (assumed); only the first of two ranges is used."""
        egress, ingress = function.egress_count, function.ingress_count
        if not egress:
            return 0, 0, 0, 0
        sizes = self.r.SGE_QBASE_MAP0.of(
            Egress0_Size=(egress - 1).bit_length(), Ingress0_Size=(ingress - 1).bit_length()
        )
        bases = self.r.SGE_QBASE_MAP3.of(Ingress0_Base=function.ingress)
        return sizes, function.egress, 0, bases
