"""Which rule names each fault of the emulator, and the verdicts on the labelled dumps."""

from __future__ import annotations

from functools import cache
from random import Random

from carddump import collected
from doctored import doctored
from labelled import INVISIBLE, UNKNOWABLE, labelled, singles

from vmcoredd.chip import BAR0, Chip, Register
from vmcoredd.cudbg.words import Word
from vmcoredd.diagnosis import Verdict, all_rules, diagnose
from vmcoredd.diagnosis.card import REG_DUMP, Card

_KINDS = ("correctable", "uncorrectable")
_LINKS = {
    "down": "link-down",
    "high-ber": "link-high-error-rate",
    "local-fault": "link-local-fault",
    "remote-fault": "link-remote-fault",
}
MEMORIES = ("edc0", "edc1", "mc0", "mc1")
NAMED = {
    **{f"ecc-{kind}-{m}": f"{m[:-1]}-ecc-{kind}" for kind in _KINDS for m in MEMORIES},
    **{f"parity-{memory}": f"{memory[:-1]}-parity" for memory in MEMORIES},
    **{f"link-{kind}-port{port}": rule for kind, rule in _LINKS.items() for port in range(4)},
    **{f"link-flap-port{port}=200": "link-down" for port in range(4)},
    **dict.fromkeys((*INVISIBLE, *UNKNOWABLE), ""),
    "tp-page-count-wrong": "dump-impossible-pages",
    "mps-page-count-wrong": "dump-impossible-buffers",
    "parity-hma": "hma-parity",
    "cim-access-timeout": "cim-access-timeout",
    "cim-host-busy": "debug-interface-busy",
    "cim-host-hangs": "entity-failed",
    "cim-illegal-access": "cim-illegal-access",
    "cim-interface-la-runs": "logic-analyser-running",
    "cim-la-hangs": "entity-failed",
    "cim-la-runs": "logic-analyser-running",
    "cim-memory-timeout": "cim-memory-timeout",
    "cim-obq-busy": "debug-interface-busy",
    "cim-obq-empty": "entity-failed",
    "context-busy": "sge-context-busy",
    "cpl-switch-framing": "cpl-switch-framing",
    "doorbell-dropped": "sge-doorbell-dropped",
    "doorbell-fifo-full": "sge-doorbell-fifo-full",
    "firmware-configuration": "firmware-configuration-failed",
    "firmware-crash": "firmware-crash",
    "firmware-error": "firmware-crash",
    "firmware-halted": "firmware-held-in-reset",
    "firmware-initialization": "firmware-initialization-failed",
    "firmware-other-master": "firmware-other-master",
    "firmware-overheat": "airflow-insufficient",
    "firmware-preparation": "firmware-preparation-failed",
    "firmware-shutdown": "device-shut-down",
    "firmware-unexpected": "firmware-unexpected-event",
    "firmware-uninitialised": "firmware-never-initialized",
    "free-list-empty": "sge-free-list-empty",
    "le-busy": "debug-interface-busy",
    "le-status": "entity-partial",
    "le-unknown-command": "le-unknown-command",
    "ma-timeout": "ma-timeout",
    "ma-wrap": "ma-address-wrap",
    "mailbox-taken": "mailbox-owned-by-firmware",
    "mps-tx-framing": "mps-transmit-framing",
    "mps-tx-underflow": "mps-transmit-bubble",
    "no-context-bases": "sge-without-context-memory",
    "no-devlog-pointer": "device-log-not-found",
    "no-edc1": "memory-switched-off",
    "no-mc0": "memory-switched-off",
    "no-memory": "memory-switched-off",
    "no-payload-regions": "tp-without-pages",
    "no-vpd": "vpd-unreadable",
    "parity-cim": "cim-queue-parity",
    "parity-cpl-switch": "cpl-switch-parity",
    "parity-le": "le-parity",
    "parity-ma": "ma-parity",
    "parity-mac": "mac-parity",
    "parity-mps-cls": "mps-classifier-parity",
    "parity-mps-rx": "mps-receive-parity",
    "parity-mps-stat": "mps-statistics-parity",
    "parity-mps-trc": "mps-trace-parity",
    "parity-mps-tx": "mps-transmit-parity",
    "parity-ncsi": "ncsi-parity",
    "parity-pcie": "pcie-parity",
    "parity-pl": "pl-fatal-parity",
    "parity-pm-rx": "pm-rx-parity",
    "parity-pm-tx": "pm-tx-parity",
    "parity-sge": "sge-parity-1",
    "parity-sge-contexts": "sge-parity-2",
    "parity-sge-payload": "sge-parity-5",
    "parity-smb": "smb-parity",
    "parity-tp": "tp-parity",
    "parity-ulp-rx": "ulp-rx-parity",
    "parity-ulp-tx": "ulp-tx-parity",
    "pcie-completion-timeout": "pcie-aer-uncorrectable",
    "pcie-correctable": "pcie-aer-correctable",
    "pcie-malformed-packet": "pcie-aer-fatal",
    "pcie-narrow-link": "pcie-link-degraded",
    "pcie-read-error": "pcie-read-failed",
    "pcie-slow-link": "pcie-link-degraded",
    "pl-timeout": "pl-access",
    "pm-rx-framing": "pm-rx-framing",
    "pm-tx-empty-command": "pm-tx-length",
    "receive-blocked": "receive-blocked",
    "send-blocked": "send-blocked",
    "rss-row-not-valid": "entity-failed",
    "rx-crc-errors": "mps-receive-errors",
    "rx-drops": "mps-drops",
    "rx-length-errors": "mps-receive-errors",
    "rx-symbol-errors": "mps-receive-errors",
    "rx-truncations": "mps-drops",
    "sge-bad-cidx": "sge-bad-cidx",
    "sge-bad-pidx": "sge-bad-pidx",
    "sge-bar2-size": "sge-bad-request",
    "sge-cpl-too-big": "sge-message-too-big",
    "sge-egress-size": "sge-illegal-egress-queue",
    "sge-idma0-stuck": "sge-idma-stuck",
    "sge-idma1-stuck": "sge-idma-stuck",
    "sge-ingress-size": "sge-illegal-ingress-queue",
    "sge-payload-checksum": "sge-receive-crc",
    "sge-tag-mismatch": "sge-fatal-state",
    "tp-drops": "tp-drops",
    "tp-la-runs": "logic-analyser-running",
    "tp-out-of-pages": "tp-out-of-pages",
    "tx-drops": "mps-transmit-drops",
    "ulp-rx-context": "ulp-rx-context",
    "ulp-tx-out-of-bounds": "ulp-tx-bounds",
    "vpd-bad-checksum": "vpd-unreadable",
    "vpd-no-version": "vpd-unreadable",
    "vpd-silent": "vpd-unreadable",
    "window-all-ones": "pcie-window-all-ones",
    "window-unusable": "pcie-window-unusable",
}
NAMED_ON_T5 = {"mps-tx-underflow": "mps-transmit-underflow"}
"""Faults that are normal on a T6 and errors on a T5."""
"""The rule that names each fault; empty for a fault that no byte of the dump shows, or that no rule
can know."""


def named(fault: str) -> str:
    """Returns the rule that is to name a fault; empty if none can."""
    return NAMED.get(fault, "")


def named_all(*faults: str) -> set[str]:
    """Returns the rules that are to name the faults of one labelled dump, on its card's chip."""
    on_chip = NAMED_ON_T5 if verdict(*faults).card.chip.startswith("T5") else {}
    return {on_chip.get(fault, named(fault)) for fault in faults} - {""}


@cache
def verdict(*faults: str) -> Verdict:
    """Returns the verdict on the labelled dump with these faults."""
    return diagnose(labelled(*faults).dump)


def found(*faults: str) -> list[str]:
    """Returns the rules of the findings, in order."""
    return [finding.rule for finding in verdict(*faults).findings]


WALK_STEPS, WALK_WORDS, OTHER_WORDS = 30, 60, 8


class _Asked(Card):
    """A card that remembers which registers it was asked for."""

    names: set[str]

    def words(self, name: str, entity: str = REG_DUMP) -> list[Word]:
        """Returns the instances of a register."""
        self.names.add(name)
        return super().words(name, entity)

    def word(self, name: str, entity: str = REG_DUMP) -> Word:
        """Returns the first instance of a register."""
        self.names.add(name)
        return super().word(name, entity)


def asked(chip: Chip) -> list[Register]:
    """Returns the registers that the rules ask for, and all other cause registers."""
    card = _Asked(collected(chip).dump)
    card.names = {register.name for register in chip.r if "CAUSE" in register.name}
    for rule in all_rules().values():
        if chip in rule.chips:
            list(rule.judge(card))
    names = sorted(name for name in card.names - {"PL_WHOAMI"} if name in chip.r)
    found = [one for name in names for one in chip.r.instances(name)]
    return [register for register in found if register.space == BAR0]


def _words(random: Random, chip: Chip, entity: str) -> dict[int, int]:
    """Returns words for OTHER_WORDS places of an entity."""
    offsets = range(0, collected(chip).dump.size(entity), 4)
    return {offset: _value(random) for offset in random.sample(offsets, OTHER_WORDS)}


def _value(random: Random) -> int:
    return random.getrandbits(32) if random.random() < 0.5 else 1 << random.randrange(32)


@cache
def walked(chip: Chip) -> frozenset[str]:
    """Returns the rules that fire on a random walk over the words that rules ask for: WALK_STEPS
    dumps, each with WALK_WORDS words of any value, or of any one bit, and a few words of other
    entities."""
    random = Random(chip.version)
    registers = asked(chip)
    fired: set[str] = set()
    for _ in range(WALK_STEPS):
        chosen = random.sample(registers, WALK_WORDS)
        words = {r[random.randrange(r.count)]: _value(random) for r in chosen}
        others = {name: _words(random, chip, name) for name in ("PCIE_CONFIG", "TP_INDIRECT")}
        judged = diagnose(doctored(words, chip, **others))
        assert judged.lost == (), judged.lost
        fired.update(finding.rule for finding in judged.findings)
    return frozenset(fired)


@cache
def unproven() -> tuple[str, ...]:
    """Returns the rules that fire on no dump that they were not written for: neither on another
    fault's, nor on the random walk."""
    from vmcoredd.chip.model import CHIPS

    proven = set().union(*(walked(chip) for chip in CHIPS))
    for (fault,) in singles():
        proven.update(rule for rule in found(fault) if rule != named(fault))
    return tuple(name for name in all_rules() if name not in proven)
