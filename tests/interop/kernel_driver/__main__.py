"""Dumps a card with the kernel's own code and prints every entity.

    python -m tests.interop.kernel_driver t62100-cr --out kernel.bin
    python -m tests.interop.kernel_driver t62100-cr --raw --compare ours.bin
    python -m tests.interop.kernel_driver t62100-cr --fault cim-host-busy
    python -m tests.interop.kernel_driver t62100-cr --bring-up

Exits with 1 if the dump of --compare differs or the probe fails, with 2 for other errors.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vmcoredd import debs

from . import cards, dump
from .build import BuildError, build
from .comparison import differences
from .harness import ACCESS_BUDGET, Counts, Harness, Options, RunError
from .source import cache, kernel_source

ROW = "{:>3} {:<16} {:<15} {:>13} {:>9} {:>8} {:>8} {:>8} {:>5} {:>9}  {}"
TITLES = ("#", "entity", "status", "flg/err/warn", "bytes", "r32", "w32", "r64", "w64", "delay_us")


FAILURES = (RunError, BuildError, cards.CardError, dump.DumpError, debs.Unavailable, OSError)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kernel_driver", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("card", help="a profile of the emulator, ram-t5 or ram-t6")
    add("--seed", type=int, default=0, help="seed of the emulated card")
    add("--fault", action="append", default=[], help="switch on this fault of the card")
    add("--raw", action="store_true", help="make the allocation of the compression buffer fail")
    add("--out", type=Path, help="write the dump to this file")
    add("--compare", type=Path, metavar="DUMP", help="show how this dump differs")
    add("--trace", type=Path, metavar="FILE", help="write one line per access to this file")
    add("--bring-up", action="store_true", help="run the whole probe instead of a dump")
    add("--kdump", action="store_true", help="with --bring-up: probe as a crash kernel does")
    add("--oops", action="store_true", help="leave the driver's defect alone: it oopses")
    add("--budget", type=int, default=ACCESS_BUDGET, help="maximum number of accesses in a run")
    add("--kernel", default="6.1", help="the driver of kernel 6.1 or 6.12")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    options = Options(
        port_without_device=arguments.oops,
        access_budget=arguments.budget,
        tracing=arguments.trace is not None,
    )
    try:
        kernel = kernel_source(arguments.kernel)
        card, _keep = cards.load(arguments.card, arguments.seed, arguments.fault)
        with Harness(build(kernel, cache()), card, options) as driver:
            run = _bring_up if arguments.bring_up else _dump
            result = run(driver, arguments, dump.names(kernel))
            if arguments.trace:
                _write_trace(arguments.trace, driver)
            return result
    except FAILURES as error:
        print(f"kernel_driver: {error}", file=sys.stderr)
        return 2


def _bring_up(driver: Harness, arguments: argparse.Namespace, _: dict[int, str]) -> int:
    result = driver.bring_up(kdump=arguments.kdump)
    print(driver.log, end="")
    print(f"probe returned {result}, {driver.ports} interfaces, {driver.counts[0]}")
    return 1 if result or not driver.ports else 0


def _dump(driver: Harness, arguments: argparse.Namespace, names: dict[int, str]) -> int:
    driver.probe()
    data = driver.collect(compress=not arguments.raw)
    if arguments.out:
        arguments.out.write_bytes(data)
    found = dump.read(data)
    _print(found, driver, names)
    if not arguments.compare:
        return 0
    wrong = differences(found, dump.read(arguments.compare.read_bytes()))
    for number, what in wrong.items():
        print(f"differs: {number} {names.get(number)}: {what}")
    print(f"{len(wrong)} of {len(found.entities)} entities differ")
    return 1 if wrong else 0


def _print(found: dump.Dump, driver: Harness, names: dict[int, str]) -> None:
    print(driver.log, end="")
    print(ROW.format(*TITLES, "sha256"))
    counts = driver.counts
    for number, entity in found.entities.items():
        made = counts.get(number, Counts())
        print(
            ROW.format(
                number,
                names.get(number, "?"),
                dump.STATUS.get(entity.flags, str(entity.flags)),
                "/".join(map(str, entity.codes)),
                len(entity.raw),
                *made[:4],
                made.delay_us,
                entity.sha256[:16],
            )
        )
    good = sum(entity.good for entity in found.entities.values())
    total = sum(made.accesses for made in counts.values())
    print(f"{good} good, {len(found.entities) - good} not, {found.length} bytes, {total} accesses")


def _write_trace(path: Path, driver: Harness) -> None:
    with path.open("w") as file:
        for access in driver.trace:
            region = "cfg" if access.bar == 255 else f"bar{access.bar}"
            kind = "W" if access.is_write else "R"
            refused = " refused" if access.failed else ""
            file.write(
                f"{access.entity} {region} {kind}{8 * access.width} {access.offset:#x} "
                f"{access.value:#x}{refused}\n"
            )


if __name__ == "__main__":
    sys.exit(main())
