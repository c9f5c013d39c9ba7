"""The entries of the API page: heading, signature and docstring of each name, as Markdown."""

from __future__ import annotations

import ast
import enum
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import accumulate, pairwise
from types import ModuleType
from typing import Any, Final

WIDTH: Final = 90
TERM: Final = re.compile(r"(?P<names>[a-z_]+(?:, [a-z_]+)*):\s+(?P<text>\S.*)")


class Bare(str):
    """An annotation that is shown as it is written."""

    __slots__ = ()
    __repr__ = str.__str__


def entries_of(module: ModuleType, names: str | None, shown: dict[int, str]) -> Iterator[str]:
    """The entries of a module's public names; those that the page has already are only named."""
    chosen = re.split(r",\s+", names) if names else module.__all__
    again = [name for name in chosen if shown.get(id(getattr(module, name))) == name]
    for name in chosen:
        value = getattr(module, name)
        if name not in again:
            shown[id(value)] = name
            yield from entry_of(module, name, value)
    if again:
        yield f"Also here, and described above: {', '.join(f'`{name}`' for name in again)}.\n"


def entry_of(module: ModuleType, name: str, value: Any) -> Iterator[str]:
    """The heading, the signature and the docstring of one name, and of its public members."""
    yield f"### `{name}`\n"
    if isinstance(value, type):
        yield block(class_line(name, value))
        yield as_markdown(own_doc(value)) + "\n"
        yield from members_of(name, value)
    elif inspect.isroutine(value):
        yield block(name + signature(value))
        if told := inspect.getdoc(value):
            yield as_markdown(told) + "\n"
    else:
        yield block(constant(name, value))
        if told := constant_doc(module, name):
            yield told + "\n"


def constant(name: str, value: object) -> str:
    """A constant and its value, as ruff would write it: it formats what is in pages, too."""
    if isinstance(value, tuple):
        return f"{name} = (\n" + "".join(f"    {json.dumps(item)},\n" for item in value) + ")"
    return f"{name} = {json.dumps(value)}" if isinstance(value, str | int) else name


def own_doc(value: type) -> str:
    text = vars(value).get("__doc__") or ""
    return "" if text.startswith(f"{value.__name__}(") else inspect.cleandoc(text)  # a dataclass's own


def class_line(name: str, value: type) -> str:
    """How an object of a class is made; or the class and its bases, where one doesn't make it."""
    is_made = "__init__" in vars(value) or "__new__" in vars(value)
    if is_made and not issubclass(value, enum.Enum) and not getattr(value, "_is_protocol", False):
        return name + signature(value)
    bases = [base.__name__ for base in value.__bases__ if base is not object]
    return f"class {name}" + (f"({', '.join(bases)})" if bases else "")


def members_of(name: str, value: type) -> Iterator[str]:
    """A class's own public methods and properties, and the members of an enumeration."""
    told = docs_in(value)
    if issubclass(value, enum.Enum):
        yield "".join(
            f"- `{item.name}` = `{item.value!r}`" + (f": {told[item.name]}\n" if item.name in told else "\n")
            for item in value
        )
        return
    for member, found in {**vars(value), **inherited(value)}.items():
        raw = getattr(found, "__func__", found)
        if member.startswith("_") and not (member == "__call__" and getattr(value, "_is_protocol", False)):
            continue
        if isinstance(raw, property) and raw.fget and raw.__doc__:
            yield f"#### `{name}.{member}`\n"
            yield as_markdown(inspect.cleandoc(raw.__doc__)) + "\n"
        elif inspect.isfunction(raw) and raw.__doc__:
            yield f"#### `{name}.{member}`\n"
            yield block(member + signature(raw, method=not isinstance(found, staticmethod)))
            yield as_markdown(inspect.getdoc(raw) or "") + "\n"
        elif member in told and not callable(raw):
            yield f"#### `{name}.{member}`\n"
            yield as_markdown(told[member]) + "\n"


def inherited(value: type) -> dict[str, Any]:
    """What it has of bases that have no entry of their own: they, and their bases, are exported nowhere."""
    found: dict[str, Any] = {}
    for base in value.__bases__:
        if is_ours(base) and not any(is_exported(each) for each in base.__mro__ if is_ours(each)):
            found |= {name: member for name, member in vars(base).items() if name not in vars(value)}
    return found


def is_ours(value: type) -> bool:
    return value.__module__.startswith("streamy_")


def is_exported(value: type) -> bool:
    """Whether a package that it is in exports it."""
    *packages, _ = accumulate(value.__module__.split("."), "{}.{}".format)
    return any(getattr(import_module(name), value.__name__, None) is value for name in packages)


def signature(value: Any, *, method: bool = False) -> str:
    """A signature as it is written, one parameter in a line where it is long."""
    found = inspect.signature(value)
    parameters = [
        item.replace(annotation=bare(item.annotation), default=short(item.default))
        for item in [*found.parameters.values()][1 if method else 0 :]
    ]
    returns = inspect.Signature.empty if isinstance(value, type) else bare(found.return_annotation)
    line = str(inspect.Signature(parameters, return_annotation=returns))
    if len(line) <= WIDTH or not parameters:
        return line
    tail = line.rpartition(")")[2]
    parts = [str(inspect.Signature([item]))[1:-1] for item in parameters]
    marks = [item.kind is item.KEYWORD_ONLY for item in parameters]
    if any(marks) and not any(item.kind is item.VAR_POSITIONAL for item in parameters):
        at = marks.index(True)
        parts[at] = parts[at].removeprefix("*, ")
        parts.insert(at, "*")
        parts[at + 2 :] = [part.removeprefix("*, ") for part in parts[at + 2 :]]
    return "(\n" + "".join(f"    {part},\n" for part in parts) + ")" + tail


def bare(annotation: Any) -> Any:
    text = getattr(annotation, "__forward_arg__", annotation)
    return Bare(text) if isinstance(text, str) else annotation


def short(default: Any) -> Any:
    """A default as the code has it; `...` where it is an object that has no short form."""
    if isinstance(default, str):
        return Bare(json.dumps(default))
    is_long = default is not inspect.Parameter.empty and repr(default).startswith("<")
    return Bare("...") if is_long else default


def block(code: str) -> str:
    return f"```python\n{code}\n```\n"


def docs_in(value: type) -> dict[str, str]:
    """The docstrings of a class's attributes: each the text right after it."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    except (OSError, TypeError):
        return {}
    return attribute_docs(getattr(tree, "body", []))


def constant_doc(module: ModuleType, name: str) -> str:
    """The docstring of a module's constant, from where it is defined."""
    body = ast.parse(inspect.getsource(module)).body
    for node in body:
        if isinstance(node, ast.ImportFrom) and name in [item.name for item in node.names]:
            source = import_module("." * node.level + (node.module or ""), package_of(module))
            return constant_doc(source, name)
    return as_markdown(attribute_docs(body).get(name, ""))


def package_of(module: ModuleType) -> str:
    return module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]


def attribute_docs(body: list[ast.stmt]) -> dict[str, str]:
    told: dict[str, str] = {}
    for node, after in pairwise(body):
        if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(after.value.value, str):
                told[target.id] = inspect.cleandoc(after.value.value)
    return told


def as_markdown(docstring: str) -> str:
    """A docstring with its `name: text` blocks made lists."""
    lines: list[str] = []
    inside = False
    for line in docstring.splitlines():
        found = TERM.fullmatch(line)
        if found and (inside or not lines or not lines[-1].strip()):
            inside = True
            lines.append(f"- `{found['names']}`: {found['text']}")
        elif inside and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            inside = False
            lines.append(line)
    return "\n".join(lines)
