"""The compiled access core, declared in core.h; cffi_build.py declares the callbacks."""

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., int | None])

class _Ffi:
    def __getattr__(self, name: str) -> Any: ...
    def def_extern(
        self, *, error: int = ..., onerror: Callable[..., int | None]
    ) -> Callable[[F], F]: ...

ffi: _Ffi
lib: Any
