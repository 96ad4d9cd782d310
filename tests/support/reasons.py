"""Why a finding of one block may explain what another block shows, or an entity that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from vmcoredd.cudbg.entity import entities
from vmcoredd.diagnosis import Rule, all_rules
from vmcoredd.diagnosis.consequences import READ_THROUGH

BLOCKS = {
    "firmware": "firmware-* mailbox-* device-log-* device-shut-down airflow-*",
    "CIM": "cim-*",
    "memories": "edc-* mc-* hma-* memory-*",
    "MA": "ma-*",
    "TP": "tp-*",
    "SGE": "sge-*",
    "PCIE": "pcie-* pci-*",
    "PL": "pl-* card-* function-* registers-* block-*",
    "clocks": "clock-* dbg-*",
    "MAC": "mac-* link-*",
    "MPS": "mps-*",
    "LE": "le-*",
    "ULP": "ulp-*",
    "PM": "pm-*",
    "CPL": "cpl-*",
    "SMB": "smb-*",
    "NCSI": "ncsi-*",
    "the data's way": "receive-* send-*",
    "the dump": "back-door-* entity-* vpd-* debug-* logic-* dump-*",
}
"""The block of each rule."""
REASONS = {
    ("CIM", "firmware"): "the processor runs the firmware, and keeps its mailboxes",
    ("CIM", "the dump"): "the debug interfaces of queues and of the processor are CIM's",
    ("CPL", "firmware"): "messages from other blocks overran the firmware's processor",
    ("LE", "the dump"): "the debug interface of the table is LE's",
    ("MA", "CIM"): "the processor reaches the memories through the arbiter",
    ("MA", "firmware"): "the firmware runs from memories behind the arbiter",
    ("MAC", "MPS"): "frames come from the MAC, which counts for MPS",
    ("MAC", "TP"): "frames come from the MAC",
    ("MPS", "TP"): "TP counts the bad frames that MPS passes on",
    ("PCIE", "PL"): "PL sums up parity errors; a card with a fatal PCIe error may not answer",
    ("PCIE", "SGE"): "the SGE moves data and messages over PCIe",
    ("PCIE", "firmware"): "the host reaches mailboxes, and the firmware the host, over PCIe",
    ("PCIE", "memories"): "the driver reads memories through windows of PCIE",
    ("PCIE", "the data's way"): "data to and from the host go over PCIe",
    ("PL", "CIM"): "the processor reaches other blocks' registers over PL's bus",
    ("PL", "firmware"): "a parity error that stops the card stops the firmware",
    ("SGE", "MPS"): "what the SGE does not take waits in MPS, which then drops",
    ("SGE", "TP"): "what the SGE does not take waits in TP, which then drops",
    ("SGE", "the data's way"): "data to and from the host go through the SGE",
    ("TP", "the data's way"): "data that have no page wait",
    ("clocks", "MAC"): "links need a clock",
    ("clocks", "PCIE"): "the PCIe link needs a clock",
    ("clocks", "firmware"): "the processor needs a clock",
    ("firmware", "CIM"): "a firmware that crashes raises timer 0",
    ("memories", "CIM"): "the processor waits for memories",
    ("memories", "MA"): "the arbiter waits for memories",
    ("memories", "SGE"): "the contexts of queues lie in the memories",
    ("memories", "TP"): "the pages for payload lie in the memories",
    ("memories", "firmware"): "the firmware runs from the memories, and keeps its log there",
    ("the data's way", "MPS"): "what waits for long is dropped",
    ("the data's way", "SGE"): "what is full takes no more from the SGE",
    ("the data's way", "TP"): "what waits for long is dropped",
}
"""Why, by the block of the cause and that of what it explains."""
ALWAYS = {
    "device-log-errors": "the firmware logs what is fatal",
    "link-down": "the driver stops the ports after a fatal error",
    "pl-fatal-parity": "PL sums up the parity errors of all blocks",
    "pl-parity-summary": "PL sums up the parity errors of all blocks",
}
"""Rules that a fault of any block may have as a consequence."""
_DIRECT = "REG_DUMP MBOX_LOG QDESC CLK TID_INFO VPD_DATA"
_MEMORIES = "MEMINFO DEV_LOG EDC0 EDC1 MC0 MC1 HMA"


def block_of_rule(name: str) -> str:
    """Returns the block whose rule it is; raises KeyError if none is."""
    return _match(name, BLOCKS)


def block_of_entity(name: str) -> str:
    """Returns the block that an entity is read from; raises KeyError if it is not known."""
    if name in _MEMORIES.split():
        return "memories"
    if name in _DIRECT.split():
        return "the dump"
    return _match(name, READ_THROUGH).split("_")[0]


def _match(name: str, patterns: dict[str, str]) -> str:
    for key, value in patterns.items():
        if any(fnmatchcase(name, pattern) for pattern in value.split()):
            return key
    raise KeyError(name)


def explained(rule: Rule, pattern: str) -> Iterator[tuple[str, str]]:
    """Yields each rule and entity that a pattern of a rule matches, and its block."""
    for name in all_rules():
        if name != rule.name and fnmatchcase(name, pattern):
            yield name, block_of_rule(name)
    for name in entities():
        if fnmatchcase(name, pattern):
            yield name, block_of_entity(name)


ANY_BLOCK = ("card-lost-during-dump", "block-without-answer", "debug-interface-busy")
"""Rules whose findings tell themselves which block they are of."""


def used() -> dict[tuple[str, str], str]:
    """Returns an example of each pair of blocks of which one explains the other."""
    found: dict[tuple[str, str], str] = {}
    for rule in all_rules().values():
        patterns = rule.explains if rule.name not in ANY_BLOCK else ()
        for pattern in patterns:
            for name, block in explained(rule, pattern) if pattern != "*" else ():
                pair = block_of_rule(rule.name), block
                if pair[0] != block and name not in ALWAYS:
                    found.setdefault(pair, f"{rule.name}: {name}")
    return found
