"""Rules on the bits of cause registers, as tables: a row for bits that mean the same.

    causes(
        "EDC_H_INT_CAUSE",
        Bits("edc-ecc-uncorrectable", FATAL, "ECC_UE_INT*", "{instance}: ...", to_do="replace"),
        source="t4_hw.c: mem_intr_handler()",
    )

A bit belongs to the first row that names it. A bit that is raised but not enabled does not
interrupt and is a note, unless the row is `polled`; a cause whose enable register is all 0 was
never set up, and counts. Bits that no row names are a note too, so that no cause is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.model import CHIPS
from vmcoredd.cudbg.words import Word
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.consequences import PARITY_SUMMARIES
from vmcoredd.diagnosis.finding import FATAL, NOTE, Evidence, Severity
from vmcoredd.diagnosis.rule import Hit, Rule, register

_UNKNOWN = "raised; whether it is enabled is not in the dump: "
_ALWAYS = ("device-log-errors", "link-down")
"""What a fatal cause explains besides: what the firmware logs of it, and that the driver stops the
ports (t4_fatal_err())."""


@dataclass(frozen=True)
class Bits:
    """A row: the bits of a cause register that mean the same, and what they mean."""

    rule: str
    severity: Severity
    bits: str | int
    """Patterns of field names and masks (`0x20000`), separated by blanks; or one mask."""
    meaning: str
    """May have `{instance}` and `{register}` in it."""
    to_do: str
    explains: str = ""
    shows: str = ""
    """Registers, separated by blanks, that tell more: their values are evidence too."""
    values: Callable[[Card], Mapping[str, object]] = lambda _card: {}
    """What else `meaning` and `to_do` have in braces."""
    chips: tuple[Chip, ...] = CHIPS
    polled: bool = False
    """Whether the bits count although they are not enabled: the driver enables some errors on one
    chip only."""
    parity: bool = False
    """Whether PL sums the bits up as a parity error."""

    def mask(self, cause: Word) -> int:
        """Returns the bits that the row names in a cause register."""
        if isinstance(self.bits, int):
            return self.bits
        mask = 0
        for pattern in self.bits.lower().split():
            if pattern.startswith("0x"):
                mask |= int(pattern, 16)
            for field in cause.register.fields if cause.register else ():
                mask |= field.mask if fnmatchcase(field.name.lower(), pattern) else 0
        return mask


def causes(name: str, *rows: Bits, source: str, complete: bool = False) -> None:
    """Registers a rule for each row on the cause register `name`, and one for all other bits unless
    the rows are `complete`."""
    other = Bits(
        f"{name.lower().replace('_', '-')}-other",
        NOTE,
        U32_MASK,
        "{register} has raised bits that no rule knows",
        "look the bits up: nothing is known against the card because of them",
    )
    for i, row in enumerate(rows if complete else (*rows, other)):
        patterns = tuple(row.explains.split())
        patterns += _ALWAYS if row.severity is FATAL else ()
        patterns += tuple(PARITY_SUMMARIES.split()) if row.parity else ()
        judge = _Raised(name, row, rows[:i])
        meaning = (row.rule, row.severity, row.meaning, row.to_do)
        register(Rule(*meaning, source, judge, patterns, row.chips))


class _Raised:
    """Whether bits of one row, and not of an earlier one, are raised."""

    def __init__(self, name: str, row: Bits, earlier: Sequence[Bits]) -> None:
        self.name, self.row, self.earlier = name, row, earlier

    def __call__(self, card: Card) -> Iterator[Hit]:
        for word in card.words(self.name):
            raised = word.value and word.value & self._mask(word, card.chip)
            enabled: int | None = U32_MASK
            if raised and not self.row.polled:
                enabled = self._enabled(card, word)
            if enabled is None:
                yield from self._hits(card, word, raised, preface=_UNKNOWN)
                continue
            masked = raised & ~enabled
            yield from self._hits(card, word, raised & enabled)
            if masked:
                yield from self._hits(card, word, masked, NOTE, "raised, but not enabled: ")

    def _enabled(self, card: Card, cause: Word) -> int | None:
        """Returns the bits of a cause that are enabled: all if no enable register was set up, or
        the chip has none; None if it has no value in the dump."""
        name = self.name.replace("INT_CAUSE", "INT_ENABLE")
        if name == self.name or name not in card.chip.r:
            return U32_MASK
        for word in card.words(name):
            if word.instance == cause.instance:
                return word.value or U32_MASK
        return None

    def _mask(self, cause: Word, chip: Chip) -> int:
        taken = 0
        for row in self.earlier:
            taken |= row.mask(cause) if chip in row.chips else 0
        return self.row.mask(cause) & ~taken

    def _hits(
        self,
        card: Card,
        word: Word,
        raised: int,
        severity: Severity | None = None,
        preface: str = "",
    ) -> Iterator[Hit]:
        if raised:
            evidence = Evidence.of(word, *word.names_of(raised))
            for name in self.row.shows.split():
                more = (w for w in card.words(name) if w.instance == word.instance)
                evidence += Evidence.each(more)
            where = word.instance or word.block
            values = {"instance": where, "register": word.name, **self.row.values(card)}
            yield Hit(evidence, values, severity, preface)
