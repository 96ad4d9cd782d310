"""Real adapters of this machine: the options that name one, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from vmcoredd.cli.options import chosen
from vmcoredd.cli.output import err

if TYPE_CHECKING:
    from vmcoredd.driver.adapter import Adapter

VIAS = ("sysfs", "vfio")


def check_address(address: str) -> str:
    """Returns a PCI address in lower case, with its domain. Raises BadParameter."""
    from vmcoredd.driver.real.functions import whole_address

    try:
        return whole_address(address)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--pci") from error


def _addresses(value: list[str] | None) -> list[str] | None:
    """Checks the values of --pci."""
    return value and [check_address(one) for one in value]


Pci = Annotated[
    list[str] | None,
    typer.Option(
        "--pci",
        metavar="ADDRESS",
        help="A real adapter of this machine, such as 0000:01:00.4, that no driver uses "
        "(`vmcoredd cards --present`; docs/how-to/real-adapters.md); repeatable.",
        callback=_addresses,
    ),
]
Via = Annotated[
    str | None,
    typer.Option(
        "--via",
        metavar="sysfs|vfio",
        help="With --pci: how to reach it: its resource0 in sysfs (default), or VFIO, if it is "
        "bound to vfio-pci.",
        callback=chosen("--via", lambda: VIAS, "way"),
    ),
]
Attach = Annotated[
    bool,
    typer.Option(
        "--attach",
        help="With --pci: ask the adapter's firmware, if it runs, for what `ethtool -w` collects. "
        "It is greeted as drivers do, and neither reset nor initialised.",
    ),
]
InUse = Annotated[
    bool,
    typer.Option(
        "--yes-while-in-use",
        help="With --pci: dump it although a driver uses it. Both use the same index registers: "
        "the dump may have wrong values, and the driver may lose its way. Most kernels need "
        "iomem=relaxed.",
    ),
]


def check_options(pci: list[str], via: str | None, *, attach: bool, in_use: bool) -> None:
    """Refuses options of real adapters without one, or that exclude each other."""
    options = (("--via", via), ("--attach", attach), ("--yes-while-in-use", in_use))
    for option, given in options:
        if given and not pci:
            raise typer.BadParameter("it needs --pci", param_hint=option)
    if in_use and via == "vfio":
        why = "a function that is bound to vfio-pci has no other driver"
        raise typer.BadParameter(why, param_hint="--yes-while-in-use")
    if in_use and attach:
        why = "the mailbox is the driver's: it cannot be used beside it"
        raise typer.BadParameter(why, param_hint="--attach")
    if twice := [one for one in pci if pci.count(one) > 1]:
        raise typer.BadParameter(f"{twice[0]} was given twice", param_hint="--pci")


def opener(
    address: str, via: str | None, *, attach: bool, in_use: bool, trace: bool
) -> Callable[[], Adapter]:
    """Returns what opens the adapter at an address."""

    def open_adapter() -> Adapter:
        from vmcoredd import driver
        from vmcoredd.driver.real.functions import SYSFS

        return driver.open_pci(
            address,
            via=via or VIAS[0],
            in_use=in_use,
            attach=attach,
            trace=err.say if trace else None,
            root=SYSFS,
        )

    return open_adapter
