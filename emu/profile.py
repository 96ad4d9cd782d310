"""Cards as TOML profiles: their sections, fields and limits.

`emu/cards/` holds the profiles that come with the package. Each section of a file is a class here,
and each key one of its fields. Names, types and limits are checked; an error names the file, the
line and the field. Before the sections, `faults` may list what is wrong with the card.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from vmcoredd.chip import Chip, chip_of_device
from vmcoredd.chip.firmware import PortCaps, PortModule, PortType
from vmcoredd.chip.le import FILTER_FIELDS, FILTER_TUPLE_BITS, filter_mode, filter_tuple_bits
from vmcoredd.emu.errors import ProfileError
from vmcoredd.emu.memory import NAMES

T = TypeVar("T")
MODULES = ("SR", PortModule.TWINAX_PASSIVE.name, PortModule.TWINAX_ACTIVE.name)
VERSION = re.compile(r"\d{1,3}(\.\d{1,3}){3}")


def number(default: int | None, low: int, high: int, form: str = "d") -> Any:
    """Declares a whole number from `low` to `high`; with a default of None it is required.

    `form` is how messages show it: "d" is decimal, "#x" hexadecimal.
    """
    limits = {"low": low, "high": high, "form": form}
    if default is None:
        return field(metadata=limits)
    return field(default=default, metadata=limits)


def text(default: str | None, longest: int, pattern: str = r"[ -~]*") -> Any:
    """Declares ASCII text of at most `longest` characters that matches `pattern`."""
    limits = {"longest": longest, "pattern": pattern}
    if default is None:
        return field(metadata=limits)
    return field(default=default, metadata=limits)


def names(known: tuple[str, ...]) -> Any:
    """Declares a list of different names, each of them known; by default there are none."""
    return field(default=(), metadata={"known": known})


@dataclass(frozen=True)
class CardInfo:
    """`[card]`: the identity of the card."""

    title: str = text(None, 40)
    device_id: int = number(None, 0x5000, 0x6FFF, "#x")
    revision: int = number(0, 0, 15)
    subsystem: int = number(0, 0, 0xFFFF, "#x")
    core_clock: int = number(250_000, 50_000, 1_000_000)
    """kHz."""


@dataclass(frozen=True)
class VpdInfo:
    """`[vpd]`: vital product data; the driver copies as many characters as the limits allow."""

    id: str = text(None, 16)
    part: str = text(None, 16)
    serial: str = text("", 24)
    """If empty, the seed determines it."""
    config_version: int = number(1, 0, 0xFFFF_FFFF)
    version: int = number(12, 0, 99)


@dataclass(frozen=True)
class FirmwareInfo:
    """`[firmware]`: versions, and the size of the device log."""

    version: str = text("1.27.5.0", 15, VERSION.pattern)
    bootstrap: str = text("1.0.0.0", 15, VERSION.pattern)
    tp: str = text("0.1.4.9", 15, VERSION.pattern)
    expansion_rom: str = text("1.0.0.68", 15, VERSION.pattern)
    devlog_kib: int = number(128, 32, 512)


@dataclass(frozen=True)
class MemorySizes:
    """`[memory]`: sizes in MiB; 0 if the card lacks the memory."""

    edc0: int = number(2, 1, 64)
    edc1: int = number(2, 1, 64)
    mc0: int = number(8, 0, 1024)
    mc1: int = number(0, 0, 1024)
    hma: int = number(0, 0, 256)


@dataclass(frozen=True)
class PortInfo:
    """`[ports]`: `speed` in Gb/s."""

    count: int = number(2, 1, 4)
    speed: int = number(10, 1, 100)
    type: str = text("SFP", 12, "|".join(PortType.__members__))
    """The name of a member of chip.firmware.PortType."""
    module: str = text("SR", 14, "|".join(MODULES))
    """The name of a member of chip.firmware.PortModule, for ports with cages."""


@dataclass(frozen=True)
class TableInfo:
    """`[tables]`: the number of table entries, and of those in use; what filters can match."""

    hash_filters: bool = False
    """Whether connections are also looked up in a hash table in memory, besides the TCAM."""
    hash_tids: int = number(4096, 1024, 32768)
    connections: int = number(24, 0, 512)
    filters: int = number(8, 0, 64)
    filter_mode: tuple[str, ...] = names(tuple(name for name, _ in FILTER_FIELDS))
    """The fields that filters can match, as a configuration file names them; none: firmware's own
    choice. vnic_id is the interface that gets a frame."""


@dataclass(frozen=True)
class QueueInfo:
    """`[queues]`: queue sets per port, as set up by the driver before the machine crashed."""

    per_port: int = number(4, 1, 16)
    obq_size: int = number(8, 1, 8)
    """Size of each CIM outbound queue in 256-byte units."""


@dataclass(frozen=True)
class FlashInfo:
    """`[flash]`: the serial flash's JEDEC id (manufacturer in the lowest byte)."""

    id: int = number(0x16BA20, 1, 0xFFFFFF, "#x")


@dataclass(frozen=True)
class Profile:
    """The profile of one card."""

    name: str
    card: CardInfo
    vpd: VpdInfo
    firmware: FirmwareInfo
    memory: MemorySizes
    ports: PortInfo
    tables: TableInfo
    queues: QueueInfo
    flash: FlashInfo
    faults: tuple[str, ...] = ()
    """Texts, as of `--fault`; the card knows which there are."""

    @property
    def chip(self) -> Chip:
        """The card's chip generation."""
        return chip_of_device(self.card.device_id)

    @property
    def filter_mode(self) -> int:
        """The chosen fields as TP_VLAN_PRI_MAP selects them; 0 if none are chosen."""
        return filter_mode(*self.tables.filter_mode)


SECTIONS: dict[str, type[Any]] = {
    "card": CardInfo,
    "vpd": VpdInfo,
    "firmware": FirmwareInfo,
    "memory": MemorySizes,
    "ports": PortInfo,
    "tables": TableInfo,
    "queues": QueueInfo,
    "flash": FlashInfo,
}


def profiles() -> list[str]:
    """Returns the names of the profiles that come with the package."""
    cards = (files("vmcoredd.emu") / "cards").iterdir()
    return sorted(card.name.removesuffix(".toml") for card in cards if card.name.endswith(".toml"))


def load(name: str | Path, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Profile:
    """Returns a profile, given by name or as the path of a TOML file.

    `overrides` replace values of the file, section by section: `{"memory": {"mc0": 24}}`.
    Raises ProfileError if the result is not a usable card.
    """
    return ProfileFile(name).profile(overrides or {})


def from_header(header: Mapping[str, Any]) -> Profile:
    """Returns the profile in the header of a trace (emu/recording.py), checked like a file.

    Raises ProfileError.
    """
    given = header.get("profile")
    where = "the trace's header"
    if not isinstance(given, dict):
        raise ProfileError(where, "it has no profile: the trace is not of an emulated card")
    others = ("name", "chip", "faults")  # the header lists those that are on
    tables = {name: value for name, value in given.items() if name not in others}
    return ProfileFile.of_tables(where, str(given.get("name")), tables).profile({})


def _source(name: str | Path) -> Traversable:
    if isinstance(name, Path) or name.endswith(".toml") or "/" in name:
        return Path(name)
    if name not in profiles():
        raise ProfileError(name, f"no such card; there are {', '.join(profiles())}")
    return files("vmcoredd.emu") / "cards" / f"{name}.toml"


def _read(source: Traversable) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except OSError as error:
        raise ProfileError(str(source), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ProfileError(str(source), "not UTF-8 text") from error


class ProfileFile:
    """Turns the text of a file into a Profile, and finds the line of each field for errors. The
    name and errors are those of `load()`."""

    def __init__(self, name: str | Path) -> None:
        source = _source(name)
        content = _read(source)
        path = self._path = str(source)
        self._name, self._lines = Path(source.name).stem, content.splitlines()
        try:
            self._tree = tomllib.loads(content)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"at line (\d+)", str(error))
            line = int(found[1]) if found else len(self._lines)
            raise ProfileError(path, str(error), line=line) from error

    @classmethod
    def of_tables(cls, where: str, name: str, tables: dict[str, Any]) -> ProfileFile:
        """Returns what a file with these tables would be; `where` they are from, for errors."""
        self = cls.__new__(cls)
        self._path, self._name, self._lines, self._tree = where, name, [], tables
        return self

    def profile(self, overrides: Mapping[str, Mapping[str, Any]]) -> Profile:
        """Returns the profile, with some values replaced."""
        faults = self._faults(self._tree.pop("faults", []))
        for section in (*self._tree, *overrides):
            if section not in SECTIONS:
                raise self.error(f"unknown section; there are {', '.join(SECTIONS)}", section)
        made = {
            section: self._section(section, kind, overrides.get(section, {}))
            for section, kind in SECTIONS.items()
        }
        profile = Profile(name=self._name, **made, faults=faults)
        self._check(profile)
        return profile

    def _faults(self, given: Any) -> tuple[str, ...]:
        if problem := _wrong_texts(given):
            raise self.error(problem, "faults")
        return tuple(given)

    def _section(self, section: str, kind: type[T], overrides: Mapping[str, Any]) -> T:
        given = self._tree.get(section, {})
        if not isinstance(given, dict):
            raise self.error("must be a table", section)
        fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
        values = {**given, **overrides}
        for key, value in values.items():
            if key == "faults":
                raise self.error("faults stand before the first section", section, key)
            if key not in fields:
                raise self.error(f"unknown field; there are {', '.join(fields)}", section, key)
            if problem := _problem(fields[key], value):
                raise self.error(problem, section, key)
        for key, item in fields.items():
            if item.default is dataclasses.MISSING and key not in values:
                raise self.error("missing", section, key)
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def _check(self, profile: Profile) -> None:
        """Checks the rules that involve several fields."""
        memory, chip = profile.memory, profile.chip
        if memory.edc0 != memory.edc1:
            raise self.error("the driver needs EDC0 and EDC1 of one size", "memory", "edc1")
        if memory.hma and memory.mc0:
            raise self.error("host memory takes the place of mc0: one must be 0", "memory", "hma")
        can_have = {NAMES[kind.number] for kind in chip.memory.types}
        for name in NAMES:
            if getattr(memory, name) and name not in can_have:
                raise self.error(f"a {chip} has none", "memory", name)
        if memory.mc1 and not memory.mc0:
            raise self.error("needs mc0", "memory", "mc1")
        if profile.ports.count > chip.max_ports:
            raise self.error(f"a {chip} has at most {chip.max_ports}", "ports", "count")
        if f"SPEED_{profile.ports.speed}G" not in PortCaps.__members__:
            raise self.error("not an Ethernet speed", "ports", "speed")
        if profile.firmware.devlog_kib % 32:
            raise self.error("must be a multiple of 32", "firmware", "devlog_kib")
        if profile.tables.hash_tids & (profile.tables.hash_tids - 1):
            raise self.error("must be a power of two", "tables", "hash_tids")
        if (bits := filter_tuple_bits(profile.filter_mode)) > FILTER_TUPLE_BITS:
            problem = f"these fields have {bits} bits; there is room for {FILTER_TUPLE_BITS}"
            raise self.error(problem, "tables", "filter_mode")

    def error(self, what: str, section: str, key: str = "") -> ProfileError:
        """Returns the error of a field, or of a section or `faults`, with its line."""
        where = f"{section}.{key}" if key else section
        return ProfileError(self._path, what, line=self._line(section, key), field=where)

    def _line(self, section: str, key: str) -> int:
        """Returns the line of a key, else of its section, else 0."""
        found, current = 0, ""
        for line, content in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[\s*([\w-]+)\s*\]", content):
                current = header[1]
                found = line if current == section else found
            elif re.match(rf"\s*{re.escape(key or section)}\s*=", content) and (
                current == section or not key
            ):
                return line
        return found


def _problem(item: dataclasses.Field[Any], value: Any) -> str:
    """Returns the reason why a value is wrong, or an empty string."""
    limits = item.metadata
    if "low" in limits:
        if type(value) is not int:
            return "must be a whole number"
        if not limits["low"] <= value <= limits["high"]:
            low, high, given = (
                format(number, limits["form"]) for number in (limits["low"], limits["high"], value)
            )
            return f"must be {low} to {high}, not {given}"
    elif "longest" in limits:
        if type(value) is not str:
            return "must be a string"
        if len(value) > limits["longest"] or not re.fullmatch(limits["pattern"], value):
            return f"must be at most {limits['longest']} characters like {limits['pattern']}"
    elif "known" in limits:
        return _wrong_names(value, limits["known"])
    elif type(value) is not bool:
        return "must be true or false"
    return ""


def _wrong_names(value: Any, known: tuple[str, ...]) -> str:
    """Returns the reason why a value is no list of different, known names, or an empty string."""
    if problem := _wrong_texts(value):
        return problem
    for name in value:
        if name not in known:
            return f"unknown name {name!r}; there are {', '.join(known)}"
    return ""


def _wrong_texts(value: Any) -> str:
    """Returns the reason why a value is no list of different texts, or an empty string."""
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        return "must be a list of names"
    return "has a name twice" if len(set(value)) < len(value) else ""
