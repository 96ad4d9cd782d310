"""LE: the lookup engine's table, and its entries' data in adapter memory."""

from __future__ import annotations

from array import array
from random import Random

from vmcoredd.chip import tcb
from vmcoredd.chip.le import READ_COMMAND, REQUEST_WORDS, RESPONSE_WORDS
from vmcoredd.emu.lookup import Index, When
from vmcoredd.emu.scenario.tids import Connection, Filter
from vmcoredd.emu.silicon.model import Model, fault
from vmcoredd.emu.spaces import WordKind

TIDS = 1 << 16
"""Entries behind the debug interface; the driver's dump has room for 49,931 (raw: for more)."""
TID_SHIFT = 12
"""Where a status holds the TID, above DBGIRspValid (assumed)."""
STARTS = {
    "active": "active",
    "server": "servers",
    "filter": "filters",
    "CLIP": "clip",
    "routing": "routing",
    "hash": "hash_base",
}
"""For each region in `chip.le.regions`, its attribute of emu.scenario.tids.TidRegions."""
HASH_ENTRY_BYTES = 64
TUPLE_WORDS = 11
"""An entry of the hash table in memory: the tuple, then the flags (assumed)."""


class TableRegions(Model):
    """The first TID of each region, the hash table's size, and the number of connections."""

    def wire(self) -> None:
        r, table = self.r, self.scenario.tid_table
        for region, register in self.chip.le.regions.items():
            if register:
                first = getattr(table.regions, STARTS[region])
                self.spaces.plain(r[register], first * self.chip.le.start_step)
        hashing = int(table.regions.hash_tids > 0)
        self.spaces.plain(r.LE_DB_CONFIG, r.LE_DB_CONFIG.of(HASHEN=hashing))
        hash_tids = self.chip.le.hash_config(table.regions.hash_tids)
        self.spaces.plain(r.LE_DB_HASH_CONFIG, r.LE_DB_HASH_CONFIG.reset | hash_tids)
        in_tcam = [c for c in table.connections if c.tid < table.regions.hash_base]
        for suffix, connections in (("", table.connections), ("_TCAM", in_tcam)):
            ipv6 = sum(connection.is_ipv6 for connection in connections)
            self.spaces.set(r[f"LE_DB_ACT_CNT_IPV4{suffix}"], len(connections) - ipv6)
            self.spaces.set(r[f"LE_DB_ACT_CNT_IPV6{suffix}"], ipv6)


class DebugInterface(Model):
    """A TID in one register and a start bit in another fetch the status and 17 words of an entry.

    Unused entries are valid and zero.
    """

    def make(self) -> None:
        self.statuses = self.spaces.table("le_status", rows=TIDS)
        self.entries = self.spaces.table("le_entries", rows=TIDS, width=RESPONSE_WORDS)

    def wire(self) -> None:
        r = self.r
        command, config = r.LE_DB_DBGI_REQ_TCAM_CMD, r.LE_DB_DBGI_CONFIG
        self._request_words()
        self.spaces.plain(command, command.of(DBGICMD=READ_COMMAND))
        start, tid = When.set(config, "DBGICMDSTRT"), Index(command, command.fields[-1].mask)
        self.lookups.add(config, self.statuses, tid, r.LE_DB_DBGI_RSP_STATUS, when=start)
        self.lookups.add(
            config, self.entries, tid, r.LE_DB_DBGI_RSP_DATA, width=RESPONSE_WORDS, when=start
        )
        self.lookups.done(config, clear=config.mask("DBGICMDBUSY"))
        self._fill()

    def _request_words(self) -> None:
        """Declares the words that the driver writes; those that a T6 lacks have no effect."""
        first = self.r.LE_DB_DBGI_REQ_DATA
        space, index = self.spaces.where(first)
        for word in range(REQUEST_WORDS):
            space.set_kind(index + word, WordKind.PLAIN)

    def _fill(self) -> None:
        valid = self.r.LE_DB_DBGI_RSP_STATUS.of(DBGIRspValid=1)
        statuses = range(valid, valid + (TIDS << TID_SHIFT), 1 << TID_SHIFT)
        self.statuses.words[:] = memoryview(array("I", statuses))
        for tid, words in self.scenario.tid_table.entries():
            self.entries.fill(RESPONSE_WORDS * tid, words)

    @fault("le-busy", "The debug interface stays BUSY: LE_TCAM is partial (-41), with no entry.")
    def stay_busy(self) -> None:
        config = self.r.LE_DB_DBGI_CONFIG
        self.lookups.hang(config, set_=config.mask("DBGICMDBUSY"))

    @fault(
        "le-status", "Half of the active region, and all that follows, is invalid: partial (-41)."
    )
    def lose_half(self) -> None:
        first = self.scenario.tid_table.regions.servers // 2
        for tid in range(first, TIDS):
            self.statuses.words[tid] = 0


class ControlBlocks(Model):
    """A TCB for each connection and filter whose TID the memory region has room for."""

    def wire(self) -> None:
        random = self.scenario.random("tcbs")
        for connection in self.scenario.tid_table.connections:
            self._store(connection.tid, self._connection(connection, random))
        for item in self.scenario.tid_table.filters:
            self._store(item.tid, self._filter(item))

    def _store(self, tid: int, block: bytes) -> None:
        region = self.scenario.memory_map["TCBs"]
        if (tid + 1) * tcb.BYTES <= region.size:
            self.memories.write(region.base + tid * tcb.BYTES, block)

    def _connection(self, connection: Connection, random: Random) -> bytes:
        """Returns a TCB with random sequence numbers, and up to 64 KiB in flight."""
        in_flight, window = random.randrange(1 << 16), random.randrange(1 << 14, 1 << 20)
        queues = self.scenario.queues.received(connection.port)
        return tcb.encode(
            tcb.TCP,
            t_state=connection.state,
            ip_version=int(connection.is_ipv6),
            l2t_ix=connection.port,
            smac_sel=connection.port,
            rss_info=random.choice(queues).id,
            active_open=0,
            nagle=1,
            recv_tstmp=1,
            recv_scale=1,
            snd_scale=7,
            rcv_scale=7,
            tx_max=random.getrandbits(32),
            snd_una_raw=in_flight,
            snd_cwnd=window,
            snd_ssthresh=window,
            rcv_nxt=random.getrandbits(32),
            rcv_wnd=window,
            t_srtt=random.randrange(1, 1 << 12),
            timestamp=random.getrandbits(32),
        )

    def _filter(self, item: Filter) -> bytes:
        """Returns a TCB with a filter's action and counters."""
        if item.queue is None:
            action = {"drop": 1}
        else:
            queue = self.scenario.queues.received(item.port)[item.queue]
            action = {"direct_steer": 1, "rss_info": queue.id}
        counts = {"packet_count": item.packets, "byte_count": item.octets}
        return tcb.encode(tcb.FILTER, non_offload=1, **action, **counts)


class HashTable(Model):
    """The hash table in memory: connections beyond the TCAM for which it has room."""

    def wire(self) -> None:
        table, region = self.scenario.tid_table, self.scenario.memory_map["LE hash"]
        for connection in table.connections:
            start = (connection.tid - table.regions.hash_base) * HASH_ENTRY_BYTES
            if 0 <= start <= region.size - HASH_ENTRY_BYTES:
                *words, flags = connection.entry.words()
                stored = (*words[:TUPLE_WORDS], flags)
                data = b"".join(word.to_bytes(4, "little") for word in stored)
                self.memories.write(region.base + start, data)
