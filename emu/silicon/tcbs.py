"""What the lookup engine's entries have in adapter memory: control blocks, and a hash table."""

from __future__ import annotations

from random import Random

from vmcoredd.chip import tcb
from vmcoredd.emu.scenario.tids import Connection, Filter
from vmcoredd.emu.silicon.model import Model

HASH_ENTRY_BYTES = 64
TUPLE_WORDS = 11
"""Of a hash table's entry in memory: its tuple, then its flags (assumed)."""


class ControlBlocks(Model):
    """A TCB for each connection and filter, as far as the region in memory goes."""

    def wire(self) -> None:
        random = self.scenario.random("tcbs")
        for connection in self.scenario.tid_table.connections:
            self._put(connection.tid, self._connection(connection, random))
        for item in self.scenario.tid_table.filters:
            self._put(item.tid, self._filter(item))

    def _put(self, tid: int, block: bytes) -> None:
        region = self.scenario.memory_map["TCBs"]
        if (tid + 1) * tcb.BYTES <= region.size:
            self.memories.write(region.base + tid * tcb.BYTES, block)

    def _connection(self, connection: Connection, random: Random) -> bytes:
        """Somewhere in its sequence space, with up to 64 KiB on the way."""
        flying, window = random.randrange(1 << 16), random.randrange(1 << 14, 1 << 20)
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
            snd_una_raw=flying,
            snd_cwnd=window,
            snd_ssthresh=window,
            rcv_nxt=random.getrandbits(32),
            rcv_wnd=window,
            t_srtt=random.randrange(1, 1 << 12),
            timestamp=random.getrandbits(32),
        )

    def _filter(self, item: Filter) -> bytes:
        """What it does with packets, and what it has counted."""
        if item.queue is None:
            action = {"drop": 1}
        else:
            queue = self.scenario.queues.received(item.port)[item.queue]
            action = {"direct_steer": 1, "rss_info": queue.id}
        counts = {"packet_count": item.packets, "byte_count": item.octets}
        return tcb.encode(tcb.FILTER, non_offload=1, **action, **counts)


class HashTable(Model):
    """The entries of connections beyond the TCAM, as far as the region in memory goes."""

    def wire(self) -> None:
        lookup, region = self.scenario.tid_table, self.scenario.memory_map["LE hash"]
        for connection in lookup.connections:
            start = (connection.tid - lookup.regions.hash_base) * HASH_ENTRY_BYTES
            if 0 <= start <= region.size - HASH_ENTRY_BYTES:
                *words, flags = connection.entry.words()
                kept = (*words[:TUPLE_WORDS], flags)
                data = b"".join(word.to_bytes(4, "little") for word in kept)
                self.memories.write(region.base + start, data)
