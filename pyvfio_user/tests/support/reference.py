"""Writes docs/api.md from the package's source: `python tests/support/reference.py`.

The source is parsed, not imported, so that all versions of Python write the same page.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
PACKAGE = HERE / "src/pyvfio_user"
PAGE = HERE / "docs/api.md"
MODULES = {
    "pyvfio_user": ["__init__.py"],
    "pyvfio_user.pci": ["pci.py"],
    "pyvfio_user.config": ["config.py"],
    "pyvfio_user.probe": ["probe.py"],
    "pyvfio_user.conformance": ["conformance/__init__.py"],
}
"""The public modules. The first and the last one list their names in `__all__`."""
HEAD = """# API of pyvfio-user

Made from the source by `tests/support/reference.py`; a test compares them. Offsets and sizes are in
bytes, times in seconds. [protocol.md](protocol.md) lists the commands of the protocol.
"""

Definition = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


def definitions(path: Path) -> dict[str, tuple[Definition, str]]:
    """Returns what a file defines at its top level, and the text behind each constant."""
    body = ast.parse(path.read_text()).body
    found: dict[str, tuple[Definition, str]] = {}
    for at, node in enumerate(body):
        following = body[at + 1] if at + 1 < len(body) else None
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node, ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = node, _text(following)
    return found


def everything() -> dict[str, tuple[Definition, str]]:
    """Returns the definitions of all files by name."""
    found: dict[str, tuple[Definition, str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        found |= definitions(path)
    return found


def public_names(module: str) -> list[str]:
    """Returns the public names of a module: its `__all__`, else those without an underscore."""
    path = PACKAGE / MODULES[module][0]
    known = definitions(path)
    if "__all__" in known:
        node = known["__all__"][0]
        assert isinstance(node, ast.Assign)
        return [str(name) for name in ast.literal_eval(node.value)]
    return [
        name
        for name, (node, text) in known.items()
        if name[0] != "_" and (text or isinstance(node, ast.ClassDef | ast.FunctionDef))
    ]


def members(node: ast.ClassDef) -> Iterator[tuple[str, ast.FunctionDef | None, str]]:
    """Yields the public members of a class, its bases in the package first: name, node, text."""
    known = everything()
    for base in node.bases:
        name = ast.unparse(base)
        if name in known and isinstance(known[name][0], ast.ClassDef):
            yield from members(known[name][0])  # type: ignore[arg-type]
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name[0] != "_":
            yield item.name, item, ast.get_docstring(item) or ""
        elif isinstance(item, ast.AnnAssign | ast.Assign):
            target = item.target if isinstance(item, ast.AnnAssign) else item.targets[0]
            name = ast.unparse(target)
            if name[0] != "_":
                yield name, None, ast.unparse(item)


def page() -> str:
    """Returns the whole page."""
    known = everything()
    parts = [HEAD]
    for module, files in MODULES.items():
        text = ast.get_docstring(ast.parse((PACKAGE / files[0]).read_text())) or ""
        parts.append(f"## {module}\n\n{text}\n")
        for name in public_names(module):
            node, described = known[name]
            parts.append("\n".join(_entry(name, node, described)))
    return "\n".join(parts)


def _entry(name: str, node: Definition, described: str) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        maker = next(
            (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
        )
        kind = ", ".join(ast.unparse(base).partition("[")[0] for base in node.bases)
        yield f"### class {name}{f' ({kind})' if kind else ''}\n"
        if maker:
            yield f"    {name}{_signature(maker)}\n"
        yield described + "\n"
        yield from _rows(node)
    elif isinstance(node, ast.FunctionDef):
        yield f"### {name}\n\n    {name}{_signature(node)}\n\n{described}\n"
    else:
        yield f"### {name}\n\n    {ast.unparse(node)}\n\n{described}\n"


def _rows(node: ast.ClassDef) -> Iterator[str]:
    fields = []
    for name, function, text in members(node):
        if function is None:
            fields.append(f"- `{text}`")
        else:
            is_property = any("property" in ast.unparse(d) for d in function.decorator_list)
            shown = _result(function) if is_property else _signature(function)
            fields.append(f"- `{name}{shown}`: {inspect.cleandoc(text)}".replace("\n", "\n  "))
    if fields:
        yield "\n".join(fields).replace("\n  \n", "\n\n") + "\n"


def _signature(function: ast.FunctionDef) -> str:
    arguments = ast.unparse(function.args)
    for own in ("self, ", "cls, ", "self", "cls"):
        if arguments.startswith(own):
            arguments = arguments.removeprefix(own)
            break
    return f"({arguments}){_result(function)}"


def _result(function: ast.FunctionDef) -> str:
    returns = ast.unparse(function.returns) if function.returns else "None"
    return "" if returns == "None" else f" -> {returns}"


def _text(node: ast.stmt | None) -> str:
    """Returns the text in a string that stands alone behind a constant."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return inspect.cleandoc(str(node.value.value))
    return ""


if __name__ == "__main__":
    PAGE.write_text(page())
