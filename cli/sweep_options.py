"""The axes of `vmcoredd sweep`: from lists, patterns and ranges to names and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import typer

from vmcoredd.cli.options import check_card, checked_fault, known_kernel

ALL = "all"
MOST_CELLS = 100_000
_WILD = re.compile(r"[*?\[]")
_BETWEEN_FAULTS = re.compile(r",(?!p=|for=)")
"""A comma within a fault begins its chance or its duration: `FAULT@read:PL_WHOAMI,p=0.1,for=2s`."""
_SEEDS = re.compile(r"(\d{1,9})(?:\.\.(\d{1,9}))?")
_SHARD = re.compile(r"(\d{1,6})/(\d{1,6})")


def cards(values: Sequence[str]) -> list[str]:
    """Returns the cards that --card names. Raises BadParameter."""
    from vmcoredd.emu import profiles

    return _expanded(values, "--card", profiles(), check_card)


def kernels(values: Sequence[str], *, script: bool) -> list[str]:
    """Returns the kernels that --kernel names; without a script, each must hold device dumps.

    Raises BadParameter.
    """
    from vmcoredd.fleet.sweep.cells import NO_KERNEL
    from vmcoredd.qemu.errors import GuestError
    from vmcoredd.qemu.kernels import NAMES, check_dumps, is_stock

    def check(text: str) -> str:
        if text.casefold() == NO_KERNEL:
            return NO_KERNEL
        return known_kernel(text, others=(NO_KERNEL,))

    usable = [name for name in NAMES if script or not is_stock(name)]
    found = _expanded(values, "--kernel", [NO_KERNEL, *usable], check)
    try:
        for name in found:
            if name != NO_KERNEL and not script:
                check_dumps(name)
    except GuestError as error:
        raise typer.BadParameter(f"{error}, or --script", param_hint="--kernel") from error
    return found


def faults(values: Sequence[str]) -> list[str]:
    """Returns the faults that --fault names; `all` has the healthy card first, and the example of
    each fault that takes an argument. Raises BadParameter."""
    from vmcoredd import emu
    from vmcoredd.fleet.sweep.cells import HEALTHY

    def check(text: str) -> str:
        plain = text.casefold() in (HEALTHY, "none")
        return HEALTHY if plain else checked_fault(text, "--fault", others=(HEALTHY,))

    examples = {fault.name: fault.example for fault in emu.faults().values()}
    found = _expanded(values, "--fault", [HEALTHY, *examples], check, _BETWEEN_FAULTS)
    return [examples.get(text, text) for text in found]


def seeds(values: Sequence[str]) -> list[int]:
    """Returns the numbers that --seed names: `0..9`, `1,3`. Raises BadParameter."""
    found: list[int] = []
    for text in (part for value in values for part in value.split(",")):
        match = _SEEDS.fullmatch(text.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            what = f"{text} is not a number, or a range such as 0..9"
            raise typer.BadParameter(what, param_hint="--seed")
        if last - first >= MOST_CELLS:
            raise typer.BadParameter(f"{text}: at most {MOST_CELLS:,} seeds", param_hint="--seed")
        found += range(first, last + 1)
    return [*dict.fromkeys(found)]


def shard(value: str | None) -> tuple[int, int]:
    """Returns a shard's number and how many there are. Raises BadParameter."""
    if value is None:
        return 1, 1
    match = _SHARD.fullmatch(value)
    number, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= of:
        what = f"{value} is no shard: 3/16 is the third of sixteen"
        raise typer.BadParameter(what, param_hint="--shard")
    return number, of


def _expanded(
    values: Iterable[str],
    option: str,
    known: Sequence[str],
    check: Callable[[str], str],
    between: re.Pattern[str] = re.compile(","),
) -> list[str]:
    """Returns what an option's values name, each once: names, `all`, and patterns of names."""
    found: list[str] = []
    for text in _parts(values, between):
        if text.casefold() == ALL:
            found += known
        elif _WILD.search(text) and "=" not in text and "/" not in text:
            matching = [name for name in known if fnmatchcase(name, text)]
            if not matching:
                what = f"no {option.lstrip('-')} matches {text}"
                raise typer.BadParameter(what, param_hint=option)
            found += matching
        else:
            found.append(check(text))
    return [*dict.fromkeys(found)]


def _parts(values: Iterable[str], between: re.Pattern[str]) -> Iterator[str]:
    for value in values:
        if "," in value and Path(value).exists():
            yield value
        else:
            yield from filter(None, map(str.strip, between.split(value)))
