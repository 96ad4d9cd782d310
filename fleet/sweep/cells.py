"""Cells: a card, a kernel, a fault, a seed; their names, their order, and shards of them."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

NO_KERNEL = "none"
"""The kernel of a cell without a guest: our own driver dumps the card."""
HEALTHY = "healthy"
"""The fault of a card without one."""
LABEL_MOST = 60
"""Letters of a part of a cell's name."""
_ODD = re.compile(r"[^A-Za-z0-9.=+@,-]+")
"""What file names of CI's artifacts cannot have, or an underscore, which parts a cell's name."""


@dataclass(frozen=True)
class Cell:
    """What is tried: `card` and `kernel` are a name or a path, `fault` a text as of `--fault`."""

    card: str
    kernel: str = NO_KERNEL
    fault: str = HEALTHY
    seed: int = 0

    @property
    def id(self) -> str:
        """Its name, of which its files are called: `t62100-cr_6.1_parity-cim_0`."""
        kernel = self.kernel.replace(":", "-")
        parts = (_label(self.card), _label(kernel), _label(self.fault), str(self.seed))
        return "_".join(parts)

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults to switch on: one or none."""
        return () if self.fault == HEALTHY else (self.fault,)

    @property
    def is_guest(self) -> bool:
        """Whether it needs a guest."""
        return self.kernel != NO_KERNEL

    def __str__(self) -> str:
        """Returns it for a reader."""
        return f"{self.card}, kernel {self.kernel}, {self.fault}, seed {self.seed}"


def _label(text: str) -> str:
    """Returns a part of a file's name, another one for every text."""
    is_path = "/" in text or text.startswith(".") or text.endswith(".toml")
    name = Path(text).resolve().name.removesuffix(".toml") if is_path else text
    label = _ODD.sub("-", name)[:LABEL_MOST].lstrip(".-")
    if label == text:
        return label
    return f"{label}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:6]}"


def all_cells(
    cards: Iterable[str], kernels: Iterable[str], faults: Iterable[str], seeds: Iterable[int]
) -> list[Cell]:
    """Returns every cell once: the kernels one after the other, so that shards are of one size."""
    every = itertools.product(kernels, cards, faults, seeds)
    cells = (Cell(card, kernel, fault, seed) for kernel, card, fault, seed in every)
    return [*dict.fromkeys(cells)]


def shard(cells: Sequence[Cell], number: int, of: int) -> list[Cell]:
    """Returns the cells of a shard: `number` counts from 1. All shards together are all cells."""
    return list(cells[number - 1 :: of])
