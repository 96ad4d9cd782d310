"""LE: the lookup engine's table, how it is divided, and the debug port that shows its entries."""

from __future__ import annotations

from array import array

from vmcoredd.chip.le import READ_COMMAND, REQUEST_WORDS, RESPONSE_WORDS
from vmcoredd.emu.ports import Index, When
from vmcoredd.emu.silicon.model import Model, fault
from vmcoredd.emu.space import Kind

TIDS = 1 << 16
"""Entries that the debug port can show; the driver's dump has room for 49,931 (raw: for more)."""
PER_TID = {"t5": 4, "t6": 1}
"""What the registers that say where a region begins count (cxgb4_main.c)."""
STARTS = {
    "t5": {
        "servers": "LE_DB_SERVER_INDEX",
        "filters": "LE_DB_FILTER_TABLE_INDEX",
        "clip": "LE_DB_CLIP_TABLE_INDEX",
        "routing": "LE_DB_ROUTING_TABLE_INDEX",
        "hash_base": "LE_DB_TID_HASHBASE",
    },
    "t6": {
        "active": "LE_DB_ACTIVE_TABLE_START_INDEX",
        "servers": "LE_DB_SRVR_START_INDEX",
        "filters": "LE_DB_NORM_FILT_TABLE_START_INDEX",
        "clip": "LE_DB_CLCAM_TID_BASE",
        "hash_base": "LE_DB_TID_HASHBASE",
    },
}
"""Where each region of the table starts, by the names of emu.scenario.tids.Regions."""


class TableDivision(Model):
    """The first entry of each region, the hash table's size, and how many connections there are."""

    def wire(self) -> None:
        r, lookup = self.r, self.scenario.tid_table
        for region, register in STARTS[self.chip.name].items():
            start = getattr(lookup.regions, region) * PER_TID[self.chip.name]
            self.words.plain(r[register], start)
        hashing = int(lookup.regions.hash_tids > 0)
        self.words.plain(r.LE_DB_CONFIG, r.LE_DB_CONFIG.of(HASHEN=hashing))
        self.words.plain(r.LE_DB_HASH_CONFIG, self._hash_config(lookup.regions.hash_tids))
        in_tcam = [c for c in lookup.connections if c.tid < lookup.regions.hash_base]
        for suffix, connections in (("", lookup.connections), ("_TCAM", in_tcam)):
            ipv6 = sum(connection.is_ipv6 for connection in connections)
            self.words.set(r[f"LE_DB_ACT_CNT_IPV4{suffix}"], len(connections) - ipv6)
            self.words.set(r[f"LE_DB_ACT_CNT_IPV6{suffix}"], ipv6)

    def _hash_config(self, tids: int) -> int:
        """T5 has the logarithm of the table's entries, T6 their number in the low 20 bits."""
        config = self.r.LE_DB_HASH_CONFIG
        if "HASHTIDSIZE" in config.decode(0):
            return config.of(HASHTIDSIZE=max(tids.bit_length() - 1, 0))
        return config.reset | tids


class DebugPort(Model):
    """A TID in one register, a start bit in another: status and 17 words of its entry.

    An entry that is not in use is valid, and zero.
    """

    def make(self) -> None:
        self.statuses = self.words.table("le_status", rows=TIDS)
        self.entries = self.words.table("le_entries", rows=TIDS, width=RESPONSE_WORDS)

    def wire(self) -> None:
        r = self.r
        command, config = r.LE_DB_DBGI_REQ_TCAM_CMD, r.LE_DB_DBGI_CONFIG
        self._request_words()
        self.words.plain(command, command.of(DBGICMD=READ_COMMAND))
        start, tid = When.set(config, "DBGICMDSTRT"), Index(command, command.fields[-1].mask)
        self.ports.add(config, self.statuses, tid, r.LE_DB_DBGI_RSP_STATUS, when=start)
        self.ports.add(
            config, self.entries, tid, r.LE_DB_DBGI_RSP_DATA, width=RESPONSE_WORDS, when=start
        )
        self.ports.done(config, clear=config.mask("DBGICMDBUSY"))
        self._fill()

    def _request_words(self) -> None:
        """A T6 has fewer than the driver writes; the rest are words that do nothing."""
        first = self.r.LE_DB_DBGI_REQ_DATA
        space, index = self.words.where(first)
        for word in range(REQUEST_WORDS):
            space.set_kind(index + word, Kind.PLAIN)

    def _fill(self) -> None:
        valid = self.r.LE_DB_DBGI_RSP_STATUS.of(DBGIRspValid=1)
        self.statuses.words[:] = memoryview(array("I", (tid << 12 | valid for tid in range(TIDS))))
        for tid, words in self.scenario.tid_table.entries():
            self.entries.fill(RESPONSE_WORDS * tid, words)

    @fault("le-busy", "The debug port stays BUSY: LE_TCAM ends before it begins, partial (-41).")
    def stay_busy(self) -> None:
        config = self.r.LE_DB_DBGI_CONFIG
        self.ports.stick(config, set_=config.mask("DBGICMDBUSY"))

    @fault("le-status", "From half of the active region on, entries are invalid: partial (-41).")
    def lose_half(self) -> None:
        first = self.scenario.tid_table.regions.servers // 2
        for tid in range(first, TIDS):
            self.statuses.words[tid] = 0
