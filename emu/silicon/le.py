"""LE: how the lookup engine's table is divided."""

from __future__ import annotations

from emu.silicon.model import Model

START_REGISTERS = {
    "t5": {
        "routing": "LE_DB_ROUTING_TABLE_INDEX",
        "filters": "LE_DB_FILTER_TABLE_INDEX",
        "servers": "LE_DB_SERVER_INDEX",
        "clip": "LE_DB_CLIP_TABLE_INDEX",
    },
    "t6": {
        "active": "LE_DB_ACTIVE_TABLE_START_INDEX",
        "filters": "LE_DB_NORM_FILT_TABLE_START_INDEX",
        "servers": "LE_DB_SRVR_START_INDEX",
        "clip": "LE_DB_CLCAM_TID_BASE",
    },
}
"""Where each region of the table starts, by the names of emu.state.tids.Regions."""


class TableDivision(Model):
    """The first entry of each region, the hash table's size, and how many connections there are."""

    def wire(self) -> None:
        r, lookup = self.r, self.state.lookup
        for region, register in START_REGISTERS[self.chip.name].items():
            self.words.plain(r[register], getattr(lookup.regions, region))
        self.words.plain(r.LE_DB_TID_HASHBASE, lookup.regions.hash_base)
        self.words.plain(
            r.LE_DB_CONFIG, r.LE_DB_CONFIG.of(HASHEN=int(lookup.regions.hash_tids > 0))
        )
        self.words.plain(r.LE_DB_HASH_CONFIG, self._hash_config(lookup.regions.hash_tids))
        ipv6 = sum(connection.is_ipv6 for connection in lookup.connections)
        self.words.set(r.LE_DB_ACT_CNT_IPV4, len(lookup.connections) - ipv6)
        self.words.set(r.LE_DB_ACT_CNT_IPV6, ipv6)

    def _hash_config(self, tids: int) -> int:
        """T5 has the logarithm of the table's entries, T6 their number in the low 20 bits."""
        config = self.r.LE_DB_HASH_CONFIG
        if "HASHTIDSIZE" in config.decode(0):
            return config.of(HASHTIDSIZE=max(tids.bit_length() - 1, 0))
        return config.reset | tids
