"""What the code names, of which pages speak: lines of the log, findings of the doctor, commands, names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Final

import click
from flask import Flask

import streamy_core.testing.plugin
from streamy_core import StreamManager, hookspecs
from streamy_core.cli import flask_commands, main
from streamy_core.cli.doctor.findings import Finding
from streamy_core.observers.metrics import METRICS, MetricKind

from ..support import ROOT

LEVELS: Final = ("debug", "info", "warning", "error")
PLACE: Final = re.compile(r"%(?:\.\d+)?[a-z]")
ANYTHING: Final = ".+"


@dataclass(frozen=True)
class Line:
    """A call that logs: its level and its logger, where they stand in the code, and what its text is like."""

    level: str | None
    logger: str | None
    pattern: str


@cache
def sources() -> list[ast.Module]:
    """All modules, parsed."""
    folders = (ROOT / "streamy_core", ROOT / "streamy_backends")
    files = chain.from_iterable(folder.rglob("*.py") for folder in folders)
    return [ast.parse(path.read_text("utf-8")) for path in files if "skeleton" not in path.parts]


@cache
def lines() -> list[Line]:
    """Every call that logs."""
    return [line for tree in sources() for line in _lines_of(tree)]


@cache
def errors() -> list[str]:
    """What the messages of exceptions are like: a line that has nothing else is one of them."""
    calls = (node for tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Call))
    raised = (call for call in calls if call.args and _name(call.func)[:1].isupper())
    return [pattern for call in raised for pattern in _patterns(call.args[0]) if _says(pattern)]


@cache
def findings() -> list[tuple[str | None, str]]:
    """The level of each finding of the doctor, where it stands in the code, and what its text is like."""
    calls = (node for tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Call))
    made = [call for call in calls if _name(call.func) == Finding.__name__ and len(call.args) > 1]
    told = [(_constant(call.args[0]), pattern) for call in made for pattern in _patterns(call.args[1])]
    return [(level, pattern) for level, pattern in told if _says(pattern)]


def is_logged(level: str, logger: str, message: str) -> bool:
    """Whether some call logs such a line."""
    fitting = [
        line.pattern for line in lines() if line.level in (None, level) and line.logger in (None, logger)
    ]
    found = [pattern for pattern in fitting if _says(pattern)]
    if ANYTHING in fitting:
        found += errors()
    return any(re.fullmatch(pattern, message, re.DOTALL) for pattern in found)


def is_found(level: str, what: str) -> bool:
    """Whether the doctor may find this."""
    return any(known in (None, level) and re.fullmatch(pattern, what) for known, pattern in findings())


def command(root: str, words: list[str]) -> click.Command | None:
    """The command that these words begin with, after `streamy` or `flask streamy`; None: that alone."""
    group: click.Group = flask_commands if root == "flask streamy" else main
    names = [word for word in words if not word.startswith("-")]
    options = [option for each in group.params for option in each.opts]
    if words and words[0] in options:
        names = names[1:]  # the option's value
    return group.commands[names[0]] if names else None


@cache
def known_names() -> frozenset[str]:
    """All that begins with `streamy_`: metrics, fields of the log, packages, globals of templates, …"""
    metrics = {metric.name for metric in METRICS}
    for metric in METRICS:
        if metric.kind is MetricKind.HISTOGRAM:
            metrics |= {f"{metric.name}_{part}" for part in ("bucket", "count", "sum")}
    table = (ROOT / "docs" / "how-to" / "logs.md").read_text("utf-8")  # which a test of its own holds
    rows = "".join(line for line in table.splitlines() if line.startswith("|"))
    fields = {"streamy_event", *(f"streamy_{name}" for name in re.findall(r"`([a-z_]+)`", rows))}
    app = Flask(__name__)
    with StreamManager(app):
        templates = set(app.jinja_env.globals)
    named = {*vars(streamy_core.testing.plugin), *vars(hookspecs)}
    packages = {path.stem for path in (ROOT / "docs" / "examples").rglob("streamy_*")}
    packages |= {"streamy_core", "streamy_backends", "streamy_skeleton", "streamy_acme"}
    tables = {f"streamy_{name}" for name in ("streams", "entries", "keys", "meta")}
    return frozenset(metrics | fields | templates | named | packages | tables)


def _lines_of(tree: ast.Module) -> Iterator[Line]:
    loggers: dict[str, str | None] = {"logger": None}
    texts: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(value, ast.Call) and _name(value.func) == "getLogger" and value.args:
                loggers[_name(target)] = _constant(value.args[0])
            elif isinstance(value, ast.Constant | ast.JoinedStr):
                texts.setdefault(_name(target), []).append(value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method, logger = node.func.attr, _name(node.func.value)
            if logger in loggers and method in (*LEVELS, "exception", "log"):
                level = {"exception": "error", "log": None}.get(method, method)
                text = node.args[1 if method == "log" else 0]
                for each in texts.get(_name(text), []) if isinstance(text, ast.Name) else [text]:
                    for pattern in _patterns(each):
                        yield Line(level, loggers[logger], pattern)


def _patterns(text: ast.expr) -> list[str]:
    """What a text may be like: as a regular expression for each that there may be."""
    if isinstance(text, ast.IfExp):
        return _patterns(text.body) + _patterns(text.orelse)
    if isinstance(text, ast.BinOp):
        return [left + right for left in _patterns(text.left) for right in _patterns(text.right)]
    if isinstance(text, ast.JoinedStr):
        return ["".join(pattern for part in text.values for pattern in _patterns(part))]
    constant = _constant(text)
    return [ANYTHING if constant is None else ANYTHING.join(map(re.escape, PLACE.split(constant)))]


def _says(pattern: str) -> bool:
    """Whether anything much of the text is known."""
    return len(pattern.replace(ANYTHING, "")) > 10


def _constant(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _name(node: ast.expr) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))
