"""Options that several commands share, and the values the shell completes for them.

A completion runs at every press of the Tab key, so it imports a room only for that room's names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

Completions = list[tuple[str, str]]
"""Values and their explanations, which zsh and fish show."""


def _cards(incomplete: str) -> list[str]:
    from vmcoredd.emu.profile import profiles

    return [name for name in profiles() if name.startswith(incomplete)]


def named_card_completions(incomplete: str) -> list[str]:
    """Completes the value of --card where cards may have names."""
    name, equals, profile = incomplete.rpartition("=")
    return [f"{name}{equals}{card}" for card in _cards(profile)]


def _faults(incomplete: str) -> Completions:
    from vmcoredd.emu import faults

    name, equals, _ = incomplete.partition("=")
    if equals and (one := faults().get(name)) and one.takes:
        texts = {f"{name}={value}": one.takes.meaning for value in one.takes.names()}
    else:
        texts = {f"{one.name}{'=' * bool(one.takes)}": one.meaning for one in faults().values()}
    return [(text, meaning) for text, meaning in texts.items() if text.startswith(incomplete)]


def _faults_of_cards(incomplete: str) -> Completions:
    name, dot, fault = incomplete.rpartition(".")
    return [(f"{name}{dot}{known}", meaning) for known, meaning in _faults(fault)]


def _entities(incomplete: str) -> list[str]:
    from vmcoredd.cudbg.entity import entities

    return [name for name in entities() if name.startswith(incomplete)]


def _entities_or_all(incomplete: str) -> list[str]:
    return [name for name in ("all",) if name.startswith(incomplete)] + _entities(incomplete)


def _kernels(incomplete: str) -> list[str]:
    from vmcoredd.qemu.kernels import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def _kernels_with_dumps(incomplete: str) -> list[str]:
    from vmcoredd.qemu.kernels import is_stock

    return [name for name in _kernels(incomplete) if not is_stock(name)]


def _listed(
    complete: Callable[[str], Iterable[str | tuple[str, str]]], others: Mapping[str, str]
) -> Callable[[str], Completions]:
    """Returns a completion of the last element of a list with commas; `others` are known too."""

    def completions(incomplete: str) -> Completions:
        before, comma, last = incomplete.rpartition(",")
        found = [(name, meaning) for name, meaning in others.items() if name.startswith(last)]
        found += [(one, "") if isinstance(one, str) else one for one in complete(last)]
        return [(f"{before}{comma}{name}", meaning) for name, meaning in found]

    return completions


card_lists = _listed(_cards, {"all": "every card"})
fault_lists = _listed(
    _faults, {"all": "the healthy card and every fault", "healthy": "a card without a fault"}
)
kernel_lists = _listed(_kernels, {"all": "every kernel", "none": "our own driver, without a guest"})


def _compressions(incomplete: str) -> Completions:
    known = [("zlib", "as the driver compresses"), ("none", "no compression")]
    return [(name, meaning) for name, meaning in known if name.startswith(incomplete)]


LISTS = {
    "card": "`vmcoredd cards` lists them",
    "entity": "`vmcoredd show FILE` lists those of a dump",
    "fault": "`vmcoredd cards --faults` lists them",
}
"""The commands that list names, where they are too many for a message."""
LISTED_MOST = 160
"""Letters of names in a message."""


def choose(given: str, known: Iterable[str], option: str, what: str = "") -> str:
    """Returns the one of `known` that `given` names in upper or lower case.

    Raises BadParameter for `option`, with `alternatives`.
    """
    names = {name.casefold(): name for name in known}
    if found := names.get(given.casefold()):
        return found
    what = what or option.lstrip("-")
    hint = alternatives(given, names, LISTS.get(what, ""))
    raise typer.BadParameter(f"no {what} is called {given}; {hint}", param_hint=option)


def choose_entity(given: str, names: Mapping[int, str], others: Iterable[str] = ()) -> str:
    """Returns the entity of `names`, by number, or of `others` that --entity names.

    It may also be the short name of the vendor's collector, a number, or `entity` and a number.
    Raises BadParameter as `choose`.
    """
    from vmcoredd.cudbg.names import resolved

    name = resolved(given, names)
    if name not in others and name.isdecimal():
        numbers = f"they have numbers from {min(names)} to {max(names)}"
        what = f"no entity has the number {name}; {numbers}, {LISTS['entity']}"
        raise typer.BadParameter(what, param_hint="--entity")
    return choose(name, (*others, *names.values()), "--entity")


def alternatives(given: str, names: Mapping[str, str], listed_by: str = "") -> str:
    """Returns what to type instead of `given`: the names like it, else all if they are few, else
    what lists them. The keys of `names` are in lower case.
    """
    every = ", ".join(names.values())
    if hint := did_you_mean(given.casefold(), names):
        return hint
    if len(every) <= LISTED_MOST:
        return f"there are {every}"
    return listed_by or f"there are {len(names):,}"


def did_you_mean(given: str, names: Mapping[str, str]) -> str:
    """Returns a question for the names like `given`, which like the keys is in lower case; empty
    if none is."""
    import difflib

    close = [name for name in names if given in name][:3]
    close = close or difflib.get_close_matches(given, names, cutoff=0.6)
    if not close:
        return ""
    *first, last = (names[name] for name in close)
    return f"did you mean {', '.join(first)}{' or ' if first else ''}{last}?"


def chosen(
    option: str, known: Callable[[], Iterable[str]], what: str = ""
) -> Callable[[typer.CallbackParam, Any], Any]:
    """Returns a callback for an option whose values, one or several, are names in `known`.

    It does not look at a default, since `known` may import a room that the command does not need.
    """

    def check(param: typer.CallbackParam, value: Any) -> Any:
        if value == param.default:
            return value
        if isinstance(value, str):
            return choose(value, known(), option, what)
        return value and [choose(name, known(), option, what) for name in value]

    return check


def check_card(value: str) -> str:
    """Returns a card's name as it is written, or its path. Files are checked when they are read."""
    from vmcoredd.emu.profile import profiles

    return value if isinstance(path_or_name(value), Path) else choose(value, profiles(), "--card")


def _known_cards(value: Any) -> Any:
    """Checks the values of --card."""
    if isinstance(value, str):
        return check_card(value)
    return value and [check_card(one) for one in value]


def _checked_wires(value: Any) -> Any:
    from vmcoredd.emu import wires

    return _parsed(value, wires.parse)


def _wires_of_one_card(value: Any) -> Any:
    from vmcoredd.emu import wires

    for text in _checked_wires(value) or ():
        if any(end.card for end in wires.parse(text).ends):
            why = f"{text}: emulate has one card, without a name; a.0=b.0 is for `guest run`"
            raise typer.BadParameter(why, param_hint="--wire")
    return value


@contextmanager
def wire_options() -> Iterator[None]:
    """Reports a wire or a capture that cannot be made as a wrong value of its option."""
    from vmcoredd.emu.wires import CaptureError, WireError

    try:
        yield
    except WireError as error:
        option = "--pcap" if isinstance(error, CaptureError) else "--wire"
        raise typer.BadParameter(str(error), param_hint=option) from error


def _checked_captures(value: Any) -> Any:
    from vmcoredd.emu import wires

    return _parsed(value, wires.parse_capture)


def _parsed(value: Any, parse: Callable[[str], Any]) -> Any:
    """Returns the values of a repeatable option if `parse` takes all of them."""
    with wire_options():
        for text in value or ():
            parse(text)
    return value


def _checked_faults(value: Any) -> Any:
    """Checks the values of --fault."""
    return value and [checked_fault(text, "--fault") for text in value]


def _checked_fault_names(value: Any) -> Any:
    """Checks faults that are arguments."""
    return value and [checked_fault(text, "FAULT") for text in value]


def checked_fault(text: str, option: str, others: Iterable[str] = ()) -> str:
    """Returns a fault with its name as it is written, if it can be read; `others` are names that a
    message lists too. Raises BadParameter."""
    from vmcoredd.emu import EmuError, faults, triggers

    name, *when = re.split(r"(?=[=@,])", text, maxsplit=1)
    text = choose(name, [*others, *faults()], option, "fault") + "".join(when)
    try:
        triggers.parse(text, faults())
    except EmuError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
    return text


def _checked_faults_of_cards(value: Any) -> Any:
    """Checks faults that may have a card's name before them, and a dot."""
    parts = [card_and_fault(text) for text in value or ()]
    checked = [(name, checked_fault(fault, "--fault")) for name, fault in parts]
    return [f"{name}.{fault}" if name else fault for name, fault in checked]


def card_and_fault(text: str) -> tuple[str, str]:
    """Returns the parts of NAME.FAULT, of which only a dot in its first word ends the name; the
    name may be empty."""
    head, *rest = re.split(r"(?=[=@,])", text, maxsplit=1)
    name, _, fault = head.rpartition(".")
    return name, fault + "".join(rest)


def _collected_entities(value: Any) -> Any:
    """Checks the values of --entity, for a dump that is to be made."""
    from vmcoredd.cudbg.entity import entities

    names = {known.number: known.name for known in entities().values()}
    return value and [choose_entity(name, names) for name in value]


def known_kernel(value: str, others: Iterable[str] = ()) -> str:
    """Returns the name of a kernel as it is written, or a path; `others` are names that a message
    lists too. Raises BadParameter."""
    from vmcoredd.qemu.errors import GuestError, UnknownKernel
    from vmcoredd.qemu.kernels import NAMES, check_kernel

    names = {name.casefold(): name for name in (*others, *NAMES)}
    try:
        return check_kernel(names.get(value.casefold(), value))
    except UnknownKernel as error:
        hint = did_you_mean(value.casefold(), names)
        there_are = f"{'There' if hint else 'there'} are {', '.join(names.values())}"
        why = f"no kernel is called {value}; {hint}{' ' if hint else ''}{there_are}"
        raise typer.BadParameter(why, param_hint="--kernel") from error
    except GuestError as error:
        raise typer.BadParameter(str(error), param_hint="--kernel") from error


def _kernel(value: str) -> str:
    """Checks the value of --kernel: a callback of typer has one argument that it does not know."""
    return known_kernel(value)


def _kernel_with_dumps(value: str) -> str:
    """Checks the value of --kernel, where the kernel is to hold device dumps."""
    from vmcoredd.qemu.errors import GuestError
    from vmcoredd.qemu.kernels import check_dumps

    try:
        return check_dumps(known_kernel(value))
    except GuestError as error:
        raise typer.BadParameter(str(error), param_hint="--kernel") from error


def scenes(incomplete: str) -> Completions:
    """Completes the value of --scene."""
    from vmcoredd.emu import Scene

    chosen = Scene.chosen()
    return [(scene.value, scene.meaning) for scene in chosen if scene.startswith(incomplete)]


def known_scenes() -> list[str]:
    """Returns the values of --scene."""
    return [name for name, _ in scenes("")]


COMPRESSIONS = ("zlib", "none")
CARD_HELP = "A card's name (`vmcoredd cards`) or its TOML file"

Redact = Annotated[
    bool,
    typer.Option(
        "--redact",
        help="Replace keys, MAC addresses and serial numbers; leave out memories and packets. "
        "Connections' IP addresses (LE_TCAM), the firmware's log (DEV_LOG) and what logic "
        "analysers caught stay.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]
ForceCaptures = Annotated[bool, typer.Option("--force", help="Replace existing files of --pcap.")]
ForceRecordings = Annotated[
    bool, typer.Option("--force", help="Replace existing files of --pcap and --trace.")
]
OutputVmcore = Annotated[Path, typer.Option("--output", "-o", help="The vmcore to write.")]
StreamedVmcore = Annotated[
    Path, typer.Option("--output", "-o", help="The vmcore to write; - is standard output.")
]
InputVmcore = Annotated[
    Path,
    typer.Argument(metavar="VMCORE", help="The vmcore, or bare device dump, to read; - is stdin."),
]
OptionalCard = Annotated[
    str | None,
    typer.Option(
        "--card",
        metavar="CARD",
        help=f"{CARD_HELP}.",
        callback=_known_cards,
        autocompletion=_cards,
    ),
]
OptionalCards = Annotated[
    list[str] | None,
    typer.Option(
        "--card",
        metavar="CARD",
        help="An adapter to emulate in this process: a card's name or its TOML file; repeatable.",
        callback=_known_cards,
        autocompletion=_cards,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        help="Selects one of many cards of the model, each with its own serial number, MAC "
        "addresses and state; equal seeds give equal cards."
    ),
]
Scene = Annotated[
    str,
    typer.Option(
        metavar="SCENE",
        help="What the card has been through: crashed, or fresh (just powered on).",
        callback=chosen("--scene", known_scenes),
        autocompletion=scenes,
    ),
]
OUTSIDE = (
    "0=stream:SOCKET and 0=dgram:LOCAL[,REMOTE] (as QEMU's -netdev), 0=tap:NAME, 0=open (no "
    "cable), 0=idle (a silent peer, the default); repeatable."
)
Faults = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="FAULT",
        help="Inject a fault (`vmcoredd cards --faults` lists them, and what they take, as in "
        "firmware-retval=EBUSY); with FAULT@WHEN, later: @5s, "
        "@read:PL_WHOAMI:3, @write:SF_OP, @command:VI:2 (docs/reference/control.md); repeatable.",
        callback=_checked_faults,
        autocompletion=_faults,
    ),
]
FaultsOfCards = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="[NAME.]FAULT",
        help="Inject a fault into the card of this name, else into every card, now or later, as "
        "with `emulate`; repeatable.",
        callback=_checked_faults_of_cards,
        autocompletion=_faults_of_cards,
    ),
]
FaultNames = Annotated[
    list[str],
    typer.Argument(
        metavar="FAULT...",
        help="The faults, as of `emulate --fault`.",
        callback=_checked_fault_names,
        autocompletion=_faults,
    ),
]
Wires = Annotated[
    list[str] | None,
    typer.Option(
        "--wire",
        metavar="WIRE",
        help=f"Where a port leads: 0=1 (another port), a.0=b.0 (of another card), {OUTSIDE}",
        callback=_checked_wires,
    ),
]
CardWires = Annotated[
    list[str] | None,
    typer.Option(
        "--wire",
        metavar="WIRE",
        help=f"Where a port leads: 0=1 (another port), {OUTSIDE}",
        callback=_wires_of_one_card,
    ),
]
Captures = Annotated[
    list[str] | None,
    typer.Option(
        "--pcap",
        metavar="PORT=FILE",
        help="Capture a port's frames in pcapng: 0=port0.pcapng; repeatable.",
        callback=_checked_captures,
    ),
]
CollectedEntities = Annotated[
    list[str] | None,
    typer.Option(
        "--entity",
        metavar="NAME",
        help="Collect only this entity; repeatable.",
        callback=_collected_entities,
        autocompletion=_entities,
    ),
]
ShownEntities = Annotated[
    list[str] | None,
    typer.Option(
        "--entity",
        metavar="NAME",
        help="Decode this entity, or all; repeatable.",
        autocompletion=_entities_or_all,
    ),
]
ShownRegisters = Annotated[
    list[str] | None,
    typer.Option(
        "--register",
        metavar="PATTERN",
        help="Show the registers whose names match this shell pattern; `EDC0.*` selects those of "
        "an instance, a number such as 0x19400 the one at that address; repeatable.",
    ),
]
ShownField = Annotated[
    str | None,
    typer.Option(
        "--field",
        metavar="PATTERN",
        help="Show only the fields whose names match this shell pattern.",
    ),
]
ShownBlock = Annotated[
    str | None,
    typer.Option("--block", metavar="BLOCK", help="Show only registers of a block, such as SGE."),
]
NonZero = Annotated[
    bool, typer.Option("--nonzero", help="Show only registers (or fields) that are not zero.")
]
Changed = Annotated[
    bool,
    typer.Option(
        "--changed-from-reset",
        help="Show only registers that differ from their value after reset. No public table has "
        "these values: they are known for 22 words of a dump. "
        "Others are not shown, changed or not.",
    ),
]
Grep = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX", help="Show only registers whose name, value or fields match, in any case."
    ),
]
Everything = Annotated[
    bool, typer.Option("--all", help="Show registers' fields even where they are zero.")
]
Compression = Annotated[
    str,
    typer.Option(
        metavar="zlib|none",
        help="How to compress the dump.",
        callback=chosen("--compress", lambda: COMPRESSIONS, "compression"),
        autocompletion=_compressions,
    ),
]
BUILT_KERNELS = "The guest's kernel: 6.1, 6.12 or newest, built here with device dumps; "
OWN_KERNELS = (
    "or, with a slash or a dot at its start, your own: a built tree, a bzImage, a package "
    "(.deb, .rpm), a folder of packages or of what they hold (docs/how-to/guest.md)."
)
Kernel = Annotated[
    str,
    typer.Option(
        metavar="NAME|PATH",
        help=f"{BUILT_KERNELS}debian:6.1, debian:6.12 or debian:newest, Debian's packages as they "
        f"are; {OWN_KERNELS}",
        callback=_kernel,
        autocompletion=_kernels,
    ),
]
KernelWithDumps = Annotated[
    str,
    typer.Option(
        "--kernel",
        metavar="NAME|PATH",
        help=BUILT_KERNELS + OWN_KERNELS,
        callback=_kernel_with_dumps,
        autocompletion=_kernels_with_dumps,
    ),
]


def path_or_name(card: str) -> str | Path:
    """Returns the value of --card as a path if it looks like one (a TOML file), else as a name."""
    return Path(card) if card.endswith(".toml") or "/" in card else card
