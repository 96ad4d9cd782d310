"""The tables of docs/reference/limits.md that follow from the code.

python -m tests.support.limits_tables      # writes them into the page
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from vmcoredd import emu
from vmcoredd.chip.firmware import FwCommand, Op
from vmcoredd.emu import silicon
from vmcoredd.emu.errors import EmuError
from vmcoredd.emu.firmware.answers import answer_to
from vmcoredd.emu.firmware.params import DEVICE, FUNCTION, WRITABLE
from vmcoredd.emu.profile import load, profiles
from vmcoredd.emu.spaces import WordKind

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/limits.md"
ACTS = {
    WordKind.CLEAR, WordKind.COMMAND, WordKind.DATA, WordKind.HOOK, WordKind.HOOK_WRITE,
    WordKind.WINDOW, WordKind.OFFSET, WordKind.ALIAS,
}  # fmt: skip
COLUMNS = (ACTS, {WordKind.PLAIN}, {WordKind.READ_ONLY}, {WordKind.DUMPED})


def written(page: str) -> str:
    """Returns the page with its tables regenerated."""
    for name, rows in TABLES.items():
        lines = "\n".join(rows())
        section = re.compile(rf"<!-- {name} -->\n.*?<!-- end -->", re.DOTALL)
        text = f"<!-- {name} -->\n\n{lines}\n\n<!-- end -->"
        page, count = section.subn(lambda _, text=text: text, page)
        if count != 1:
            raise ValueError(f"{PAGE.name} has {count} sections called {name}")
    return page


def cards() -> Iterator[str]:
    """The profiles that come with the package."""
    yield _head("card", "chip", "Ethernet ports", "memory, MiB")
    for name in sorted(profiles()):
        profile = load(name)
        ports = f"{profile.ports.count} x {profile.ports.speed} Gb/s"
        sizes = vars(profile.memory).items()
        memory = ", ".join(f"{memory} {size}" for memory, size in sizes if size)
        yield _row(f"`{name}`", str(profile.chip).upper(), ports, memory)


def faults() -> Iterator[str]:
    """All faults, in the order of the silicon's files."""
    yield _head("fault", "what it does")
    for fault in silicon.faults().values():
        yield _row(f"`{fault.form}`", fault.meaning)


def words() -> Iterator[str]:
    """The number of words of BAR0 with each kind of behaviour, by block: T5 / T6."""
    yield _head("block", "acts", "stores", "read-only", "reset value only", "unimplemented")
    by_chip = [_blocks("t580-cr"), _blocks("t62100-cr")]
    for block in sorted({name for blocks in by_chip for name in blocks}):
        counts = [blocks.get(block, Counter()) for blocks in by_chip]
        known = [[sum(c[kind] for kind in kinds) for c in counts] for kinds in COLUMNS]
        other = [c.total() - sum(pair[i] for pair in known) for i, c in enumerate(counts)]
        yield _row(block, *(f"{t5} / {t6}" for t5, t6 in [*known, other]))


def _blocks(card_name: str) -> dict[str, Counter[WordKind]]:
    card = emu.Card.load(card_name)
    found: dict[str, Counter[WordKind]] = {}
    for register in card.chip.r:
        if register.space == "bar0":
            kinds = found.setdefault(_block(register.name), Counter())
            for element in range(register.count):
                index = (int(register) + element * register.stride) // 4
                kinds[WordKind(card.core.bar0.kinds[index])] += 1
    return found


def _block(register: str) -> str:
    """Returns the block in a register's name, which may start with the chip's name."""
    parts = register.removeprefix("T5_").removeprefix("T6_").split("_")
    return "_".join(parts[:2]) if parts[0] in ("ULP", "PM") else parts[0]


def answered() -> Iterator[str]:
    """The commands that the firmware's model answers."""
    yield _head("opcode", "command", "what the model does")
    found = [(command, function) for command in _commands() if (function := _answer(command))]
    for command, function in sorted(found, key=lambda pair: (pair[0].OPCODE, _line(pair[1]))):
        done = (function.__doc__ or "").split("\n")[0]
        yield _row(f"`{command.OPCODE.name}`", f"`{command.__name__}`", done)


def refused() -> Iterator[str]:
    """The commands that it refuses. DEBUG is what firmware sends to drivers."""
    commands = [command for command in _commands() if command.OPCODE is not Op.DEBUG]
    specific = [command for command in commands if "variant" not in vars(command)]
    names = [f"`{command.__name__}`" for command in specific if not _answer(command)]
    described = {command.OPCODE for command in commands}
    opcodes = [f"`{op.name}`" for op in Op if op not in described and op is not Op.DEBUG]
    yield f"- layout known: {', '.join(sorted(names))}"
    yield f"- only the opcode known: {', '.join(opcodes)}"


def parameters() -> Iterator[str]:
    """The parameters that PARAMS knows."""
    yield _head("parameters", "of the device", "of a function", "of DMA queues")
    readable = [", ".join(f"`{p.name}`" for p in table) for table in (DEVICE, FUNCTION)]
    yield _row("read", *readable, "")
    writable = [", ".join(sorted(f"`{p.name}`" for p in some)) for some in WRITABLE.values()]
    yield _row("written", *writable)


def _commands() -> list[type[FwCommand]]:
    """Returns all layouts, by opcode and name."""
    found, kinds = [], list(FwCommand.__subclasses__())
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found += [kind] if kind.__module__.startswith("vmcoredd.chip.firmware") else []
    return sorted(found, key=lambda kind: (kind.OPCODE, kind.__name__))


def _line(function: Callable[..., FwCommand]) -> int:
    return function.__code__.co_firstlineno


def _answer(command: type[FwCommand]) -> Callable[..., FwCommand] | None:
    try:
        return answer_to(command())
    except EmuError:
        return None


def _head(*titles: str) -> str:
    return _row(*titles) + "\n|" + "---|" * len(titles)


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "cards": cards,
    "faults": faults,
    "words": words,
    "commands answered": answered,
    "commands refused": refused,
    "parameters": parameters,
}

if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
