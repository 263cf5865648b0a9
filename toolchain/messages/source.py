"""The product's source as syntax trees: functions and constants by name, across its modules."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """A module: its constants, and its functions and methods, each by its name."""

    name: str
    tree: ast.Module
    constants: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Local name to module and name there."""


class Source:
    """All modules of a program, by dotted name."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.modules = {name: _module(name, text) for name, text in sorted(texts.items())}
        self._methods: dict[str, list[tuple[Module, Function]]] = {}
        for module in self.modules.values():
            for function in filter(_is_method, module.functions.values()):
                self._methods.setdefault(function.name, []).append((module, function))

    def constant(self, module: Module, name: str) -> tuple[Module, ast.expr] | None:
        """Return the expression of a constant of the module, its own or imported."""
        if name in module.constants:
            return module, module.constants[name]
        where, there = module.imported.get(name, ("", ""))
        return self.constant(self.modules[where], there) if where in self.modules else None

    def function(self, module: Module, called: ast.expr) -> tuple[Module, Function] | None:
        """Return the function that an expression names: in the module, imported, or the only method of that name."""
        if isinstance(called, ast.Name):
            if called.id in module.functions:
                return module, module.functions[called.id]
            where, there = module.imported.get(called.id, ("", ""))
            return self.function(self.modules[where], ast.Name(there)) if where in self.modules else None
        if isinstance(called, ast.Attribute):
            if isinstance(called.value, ast.Name) and called.value.id == "self" and called.attr in module.functions:
                return module, module.functions[called.attr]
            found = self._methods.get(called.attr, [])
            return found[0] if len(found) == 1 else None
        return None


def _is_method(function: Function) -> bool:
    return [each.arg for each in function.args.args[:1]] in (["self"], ["cls"])


def of_folders(root: Path, *folders: str) -> Source:
    """Return the source in these folders of a checkout."""
    files = [file for folder in folders for file in (root / folder).rglob("*.py")]
    names = {".".join(file.relative_to(root).with_suffix("").parts): file for file in files}
    return Source({name: file.read_text("utf-8") for name, file in names.items()})


def _module(name: str, text: str) -> Module:
    module = Module(name, ast.parse(text))
    for node in module.tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                _constant(module, target, node.value)
        elif isinstance(node, ast.AnnAssign) and node.value:
            _constant(module, node.target, node.value)
    for each in ast.walk(module.tree):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            module.functions[each.name] = each
        elif isinstance(each, ast.ImportFrom) and each.module:
            module.imported |= {alias.asname or alias.name: (each.module, alias.name) for alias in each.names}
    return module


def _constant(module: Module, target: ast.expr, value: ast.expr) -> None:
    if isinstance(target, ast.Name):
        module.constants[target.id] = value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=True):
            _constant(module, one, its)
