"""What is changed of the parsers that typer makes; they differ between its versions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args


def adapt(command: Any) -> None:
    """Changes the parser of a command, and those of its sub-commands."""
    for one in getattr(command, "commands", {}).values():
        adapt(one)
    helps = command.get_help_option(command.context_class(command))  # made once, then kept
    for parameter in (*command.params, helps):
        _name_value(parameter)
        _return_lists(parameter)
        _convert_plainly(parameter)


def _name_value(parameter: Any) -> None:
    """Names an option's value in the help as users do: none for a flag, PATH, NUMBER, TEXT."""
    if parameter.param_type_name == "argument":  # its name says enough
        parameter.display_type_rich = lambda ctx: None
    elif parameter.metavar is None:
        parameter.metavar = _value_name(parameter)


def _value_name(option: Any) -> str:
    if option.is_flag:
        return ""
    descriptor = getattr(option, "type_descriptor", None) or getattr(option, "type", None)
    kind = str(getattr(descriptor, "annotation", None) or getattr(descriptor, "name", "")).lower()
    if "path" in kind:
        return "PATH"
    return "NUMBER" if "int" in kind or "float" in kind else "TEXT"


def _return_lists(parameter: Any) -> None:
    """Makes the callback of a repeatable option that was not given return `[]`, not None.

    typer of 2024 and 2025 asks for the length of what it returns. Every typer tells a command None.
    """
    if getattr(parameter, "multiple", False) and parameter.callback:
        parameter.callback = _never_none(parameter.callback)


def _never_none(callback: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: callback(*arguments) or []


def _convert_plainly(parameter: Any) -> None:
    """Lets `_Plain` convert an option's or argument's values where it can.

    typer of 2026 converts with pydantic, even the value of an option that was not given, and the
    import of pydantic takes as long as that of all else that a dump needs.
    """
    if typers := getattr(parameter, "get_runtime_param", None):
        parameter.get_runtime_param = lambda: _Plain(parameter.type_descriptor, typers)


class _Plain:
    """Passes on what has its type already, makes paths, and leaves the rest to typer."""

    def __init__(self, descriptor: Any, typers: Callable[[], Any]) -> None:
        self._kind, self._info = descriptor.annotation, descriptor.parameter_info
        if descriptor.is_list:
            (self._kind,) = get_args(descriptor.annotation)
        self._typers = typers

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Returns the value, or a list if the parameter is repeatable; raises as typer does."""
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        values = [self._path(one) for one in value] if many else [self._path(value)]
        if not all(self._is_plain(one) for one in values):
            return self._typers().coerce(value, param=param, ctx=ctx)
        return values if many else values[0]

    def _path(self, value: Any) -> Any:
        return Path(value) if self._kind is Path else value

    def _is_plain(self, value: Any) -> bool:
        if self._kind is Path:
            return not self._demands() and (os.access(value, os.R_OK) or not os.path.lexists(value))
        return self._kind in (str, int, float) and isinstance(value, self._kind)

    def _demands(self) -> bool:
        """Returns whether a path must be of a file or folder that typer is to look at."""
        info = self._info
        any_kind = info.file_okay and info.dir_okay
        return info.exists or info.writable or info.resolve_path or not any_kind
