"""Only chip/ holds register numbers and the differences between the chips."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

import pytest
from chip_facts import CHIPS

from vmcoredd.chip import BAR0, pci

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("hw", "cudbg", "emu", "driver", "cli", "bench", "fleet", "testing")
"""The rooms that deal with the chip, besides chip/ itself."""
FIRST = 0x1000
"""Lower numbers are too common to distinguish an offset from another number."""
NOT_OFFSETS = {
    ("emu/config_space.py", 0xF900): "bits of the status register",
    ("emu/scenario/transceivers.py", 0xFB00): "a temperature",
    ("emu/profile.py", 0x5000): "a PCI device id",
    ("emu/silicon/cim.py", 0x5000): "bytes of the CIM's address space",
    ("emu/silicon/pm.py", 0x10040): "an index behind PM_TX_DBG_CTRL",
}
"""Hexadecimal numbers that are also the offset of a register by coincidence."""
MEASURED = "cudbg/entity.py"
"""Pairs each chip with a number measured for an entity of the dump, not a fact about the chip."""
CHIP_WORDS = {"t5", "t6", "T5", "T6"}


def sources(*kinds: str) -> list[Path]:
    found = (path for room in ROOMS for kind in kinds for path in (ROOT / room).rglob(f"*.{kind}"))
    return sorted(path for path in found if not path.name.startswith("_cffi"))


@pytest.fixture(scope="module")
def offsets() -> set[int]:
    """The offsets in BAR0 of every described word of both chips."""
    return {
        int(register) + register.stride * i
        for chip in CHIPS
        for register in chip.r
        if register.space == BAR0
        for i in range(register.count)
    }


def hexadecimals(path: Path) -> list[str]:
    """Returns the hexadecimal numbers in code, without Python's comments and strings."""
    found = [path.read_text()]
    if path.suffix == ".py":
        with tokenize.open(path) as file:
            tokens = tokenize.generate_tokens(file.readline)
            found = [token.string for token in tokens if token.type == tokenize.NUMBER]
    return [number for text in found for number in re.findall(r"\b0[xX][0-9a-fA-F_]+\b", text)]


def test_no_room_but_chip_writes_a_registers_offset_as_a_number(offsets) -> None:
    wrong = []
    for path in sources("py", "c", "h"):
        name = str(path.relative_to(ROOT))
        for literal in hexadecimals(path):
            number = int(literal, 16)
            if number >= FIRST and number in offsets and (name, number) not in NOT_OFFSETS:
                wrong.append(f"{name}: {literal}")
    assert wrong == []


@pytest.mark.parametrize(("name", "number"), NOT_OFFSETS)
def test_every_exception_is_still_needed(name: str, number: int) -> None:
    assert number in {int(literal, 16) for literal in hexadecimals(ROOT / name)}


def chip_word(node: ast.expr | None) -> bool:
    """Whether an expression is T5, "t6", chip.name, self.chip.version and the like."""
    if isinstance(node, ast.Constant):
        return node.value in CHIP_WORDS
    if isinstance(node, ast.Name):
        return node.id in CHIP_WORDS
    if isinstance(node, ast.Attribute):
        owner = node.value
        named = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
        return node.attr in ("name", "version") and named == "chip"
    return False


def operands(node: ast.AST) -> list[ast.expr | None]:
    """Returns the operands by which a comparison, dictionary, subscript or case chooses."""
    match node:
        case ast.Compare():
            return [node.left, *node.comparators]
        case ast.Dict():
            return [*node.keys]
        case ast.Subscript():
            return [node.slice]
        case ast.MatchValue():
            return [node.value]
    return []


def choices(tree: ast.AST) -> list[ast.AST]:
    """Returns the nodes that choose by chip."""
    return [node for node in ast.walk(tree) if any(map(chip_word, operands(node)))]


def test_no_room_but_chip_chooses_by_the_name_of_a_chip() -> None:
    found = {str(path.relative_to(ROOT)): path.read_text() for path in sources("py")}
    wrong = [name for name, text in found.items() for _ in choices(ast.parse(text))]
    assert wrong == [MEASURED]


@pytest.mark.parametrize(
    "code",
    [
        "x = {'t5': 1}",
        "x = {T5: 1}",
        "if chip is T6: pass",
        "if chip.name == 'x': pass",
        "x = table[self.chip.name]",
        "if self.chip.version >= 6: pass",
        "match c:\n case 't5': pass",
    ],
)
def test_a_choice_by_chip_is_found(code: str) -> None:
    assert choices(ast.parse(code))


def test_a_driver_that_does_not_know_its_chip_reads_whoami_at_the_offset_of_both() -> None:
    assert [int(chip.r.PL_WHOAMI) for chip in CHIPS] == [pci.WHOAMI, pci.WHOAMI]


def test_a_function_sees_its_own_registers_where_the_tables_have_them() -> None:
    for chip in CHIPS:
        assert pci.own_view(chip.r.SGE_PF_KDOORBELL) == int(chip.r.MYPF_SGE_PF_KDOORBELL)
        assert chip.r.SGE_PF_KDOORBELL.stride in (0, pci.PF_STRIDE)
