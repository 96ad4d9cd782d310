"""What explains what: only what can hold on the ways of the chip's data."""

from __future__ import annotations

from doctored import doctored
from reasons import REASONS, block_of_rule, explained, used
from verdicts import verdict

from vmcoredd.chip import T6, instances
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.diagnosis import Finding, all_rules, diagnose

ANSWERS_NOTHING = ("card-off-the-bus", "function-without-access", "registers-all-zero")
"""They explain everything."""


def test_everything_that_a_rule_explains_exists() -> None:
    unknown = {
        f"{rule.name}: {pattern}"
        for rule in all_rules().values()
        for pattern in rule.explains
        if pattern != rule.name and not list(explained(rule, pattern))
    }
    assert unknown == set()


def test_a_rule_explains_its_own_block_or_another_for_a_stated_reason() -> None:
    assert {pair: example for pair, example in used().items() if pair not in REASONS} == {}
    assert set(REASONS) <= set(used())


def test_only_a_card_that_does_not_answer_explains_everything() -> None:
    everything = [rule.name for rule in all_rules().values() if "*" in rule.explains]
    assert everything == list(ANSWERS_NOTHING)


def test_every_rule_has_a_block() -> None:
    assert all(block_of_rule(name) for name in all_rules())


def about(faults: tuple[str, ...], rule: str, said: str = "") -> Finding:
    """The finding of a rule that says something."""
    return next(f for f in verdict(*faults).findings if f.rule == rule and said in f.meaning)


def test_a_busy_lookup_engine_explains_its_own_entity_and_no_other() -> None:
    faults = ("rss-row-not-valid", "le-busy")
    assert about(faults, "entity-failed", "RSS").explained_by == ()
    assert about(faults, "entity-partial", "LE_TCAM").explained_by == ("debug-interface-busy",)


def test_each_busy_interface_explains_what_is_read_through_it() -> None:
    faults = ("cim-obq-busy", "rss-row-not-valid")
    assert about(faults, "entity-failed", "RSS").explained_by == ()
    assert about(faults, "entity-failed", "CIM_OBQ_SGE").explained_by == ("debug-interface-busy",)


def test_parity_in_the_processors_queues_explains_what_is_read_through_the_processor() -> None:
    faults = ("cim-host-hangs", "parity-cim")
    assert verdict(*faults).findings[0].rule == "cim-queue-parity"
    for name in ("CIM_LA", "CIM_QCFG", "UP_CIM_INDIRECT", "PBT_TABLE"):
        assert about(faults, "entity-failed", name).explained_by == ("cim-queue-parity",)


def test_parity_in_the_contexts_explains_a_context_that_is_never_read() -> None:
    found = about(("context-busy", "parity-sge-contexts"), "sge-context-busy")
    assert found.explained_by == ("sge-parity-2",)


def test_a_memory_that_is_switched_off_comes_before_the_pages_that_lie_in_it() -> None:
    first, second, *_ = verdict("no-mc0", "tp-out-of-pages").findings
    assert (first.rule, second.rule) == ("memory-switched-off", "tp-out-of-pages")
    assert second.explained_by == ("memory-switched-off",)
    assert second.to_do.startswith("look first whether a memory is switched off")


def test_a_block_that_does_not_answer_explains_only_what_is_read_through_it() -> None:
    start, count = next(run for run in T6.ranges("reg_dump") if _block(run[0]) == "LE")
    words = dict.fromkeys(range(start, start + 4 * count, 4), U32_MASK)
    found = [f for f in diagnose(doctored(words)).findings if f.rule == "block-without-answer"]
    assert {name for finding in found for name in finding.explains} == {"LE_TCAM"}


def _block(offset: int) -> str:
    found = T6.r.at(offset)
    return instances.block_of(found[0]) if found else ""
