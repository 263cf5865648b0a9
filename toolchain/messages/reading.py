"""Reads which messages a program can show: follows each path of each function, with the texts that variables have.

What only a run can know is `...` in a text. A function that gets a part of its message from its caller is read at each
call, with the caller's texts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice, product
from typing import Any, NamedTuple

from toolchain.messages.source import Function, Module, Source

UNKNOWN = "\1"
"""What only a run can know, until the message is complete; then it is `...`."""
_GIVEN = "\0"
"""The value of a parameter, until the function is read at a call."""
_PARTS = ("subject", "fact", "consequence", "remedy")
_MAKERS = {"error": _PARTS, "warning": _PARTS, "Diagnostic": ("", *_PARTS)}
_CHECK = ("", "subject", "result", "fact", "remedy")
_TEXTS = {
    *("ImageFactoryError", "CloudError", "SaveLost", "CredentialError", "CopyError", "RelayLost", "StateError"),
    *("NoStack", "ManifestError", "BadParameter", "warn", "notice", "PlanFailures", "_Line"),
}
"""What takes a whole message: the exceptions for the user, an error of an option, a warning or notice of a run, the
last error of a plan, a line of a command (its `message`)."""
_ANYWHERE = {"warn", "notice", "PlanFailures"}
"""Those of them that do not take it as their first argument."""
_CONSEQUENCES = {"consequence", "so"}
"""What adds the consequence to an error of Azure."""
_REDIRECT = "a redirect, which is not followed because it would forward the credential"
_ANY = (
    (r"Azure returned \S+ \S+:", "Azure returned ... ...: ...", "imagefactory.azure"),
    (r"Azure returned \S+ a redirect,", f"Azure returned ..., {_REDIRECT}", "imagefactory.azure"),
    (r"no response from Azure", "no response from Azure (...)", "imagefactory.azure"),
    (r"the response to .* is not valid: ", "the response to ... is not valid: ...", "imagefactory.azure"),
    (r"no reason given$", "...", "imagefactory.azure"),
    (r"no answer within \S+ s$", "no answer within ... s", "imagefactory.doctor"),
    (r"unexpected \.\.\. \(", "unexpected ... (...)", "imagefactory.doctor"),
)
"""What any request may get, and any check of `doctor`: pattern, fact and module. Its consequences are messages, too."""
_REASON = re.compile(r"Return (why|the reason|what must happen)\b")
"""Start of the docstring of a function that returns parts of messages."""
_SAME = {"str", "printable", "redacted", "printable_lines", "_plain"}
"""Functions whose result reads as their argument."""
_SAME_METHODS = {"strip", "rstrip", "splitlines"}
_PATHS, _VALUES, _DEPTH = 96, 8, 6

Value = str | tuple[Any, ...]
Names = dict[str, Value]

_OTHERS: Names = dict.fromkeys(_PARTS, UNKNOWN)
"""The other parts, which the error has already."""


class Message(NamedTuple):
    """A message, and the module that reports it."""

    module: str
    subject: str
    fact: str
    consequence: str
    remedy: str


def messages(source: Source) -> list[Message]:
    """Return the messages of a program, sorted. Those that consist only of texts of others are left out."""
    reader = _Reader(source)
    known = -1
    while known < len(reader.askers):
        known = len(reader.askers)
        reader.restart()
        for module in source.modules.values():
            for function in module.functions.values():
                reader.read(module, function, {}, 0)
    said = set(map(_general, reader.all()))
    return sorted(each for each in said if each.fact.strip("., :") or each.consequence.strip("., :"))


def _general(message: Message) -> Message:
    """Return what any request or check may get as one message for all subjects."""
    for pattern, fact, module in _ANY:
        if re.match(pattern, message.fact.removeprefix("...: ")):
            return Message(module, "...", fact, "", message.remedy or "...")
    return message


def split(text: str) -> tuple[str, str, str, str]:
    """Return subject, fact, consequence and remedy of a message in one text, with UNKNOWN in it."""
    subject, colon, rest = text.partition(": ")
    if not colon:
        subject, rest = "", text
    rest, _, remedy = rest.partition(". ")
    fact, _, consequence = rest.rpartition("; ") if "; " in rest else (rest, "", "")
    return subject, fact, consequence, remedy


class _Reader:
    """All functions of a program; `askers` are those that get a part of a message from their callers."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.askers: set[int] = set()
        self.restart()

    def restart(self) -> None:
        """Forget all but the askers."""
        self.found: set[Message] = set()
        self._unasked: set[Message] = set()
        self._running: list[tuple[Module, Function]] = []
        self._results: dict[object, list[Value]] = {}

    def read(self, module: Module, function: Function, given: Names, depth: int) -> list[Value]:
        """Follow the paths of a function. Return what it returns."""
        key = (id(function), *sorted(given.items(), key=str))
        if key in self._results:
            return self._results[key]
        if any(function is each for _, each in self._running) or depth > _DEPTH:
            return [UNKNOWN]
        arguments = function.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        names: Names = {**{each.arg: _GIVEN for each in every if each}, **given}
        self._running.append((module, function))
        run = _Run(self, self._source, module, depth)
        run.block(function.body, [names])
        if _REASON.match(ast.get_docstring(function) or ""):
            for text in run.returned:
                self.add({"fact": text})
        self._running.pop()
        self._results[key] = _few(run.returned)
        return self._results[key]

    def add(self, parts: Mapping[str, Value]) -> None:
        """Keep a message, unless a part of it is a parameter of a function: its callers have it."""
        texts = [text if isinstance(text, str) else UNKNOWN for text in (parts.get(part, "") for part in _PARTS)]
        read = [re.sub(r"\.{7,}", "...", re.sub(f"[{UNKNOWN}{_GIVEN}]+", "...", text)).strip() for text in texts]
        message = Message(self._running[0][0].name, *read)
        if _GIVEN in texts:
            self.askers |= {id(function) for _, function in self._running}
            self._unasked.add(message)
        elif message.fact:
            self.found.add(message)

    def all(self) -> Iterator[Message]:
        """Yield what was found, and what nobody was seen to ask for."""
        yield from self.found
        facts = {message.fact for message in self.found}
        yield from (each for each in self._unasked if each.fact.strip("., :") and each.fact not in facts)


class _Run:
    """One function, with the names of each path."""

    def __init__(self, reader: _Reader, source: Source, module: Module, depth: int) -> None:
        self._reader, self._source, self._module, self._depth = reader, source, module, depth
        self.returned: list[Value] = []

    def block(self, body: Sequence[ast.stmt], paths: list[Names]) -> list[Names]:
        """Return the names of the paths that reach the end."""
        for statement in body:
            paths = list(islice(self._distinct(self._statement(statement, paths)), _PATHS))
        return paths

    def _distinct(self, paths: Iterable[Names]) -> Iterator[Names]:
        seen = set()
        for names in paths:
            key = frozenset(names.items())
            if key not in seen:
                seen.add(key)
                yield names

    def _statement(self, node: ast.stmt, paths: list[Names]) -> list[Names]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return paths
        paths = [after for names in paths for after in self._expressions(node, names)]
        if isinstance(node, ast.Assign):
            return [one for names in paths for one in self._assigned(node.targets, node.value, names)]
        if isinstance(node, ast.AnnAssign) and node.value:
            return [one for names in paths for one in self._assigned([node.target], node.value, names)]
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            changed = ast.BinOp(ast.Name(node.target.id), node.op, node.value)
            return [one for names in paths for one in self._assigned([node.target], changed, names)]
        if isinstance(node, ast.Return):
            self.returned += [value for names in paths for value in self._values(node.value, names)]
            return []
        if isinstance(node, ast.Raise | ast.Continue | ast.Break):
            return []
        if isinstance(node, ast.If):
            paths, never = [[each for each in paths if _never(node.test, each) is no] for no in (False, True)]
            return [*self.block(node.orelse, never), *self.block(node.body, paths), *self.block(node.orelse, paths)]
        if isinstance(node, ast.For | ast.AsyncFor | ast.While):
            inner = paths if isinstance(node, ast.While) else [_forgotten(node.target, names) for names in paths]
            return self.block(node.orelse, [*paths, *self.block(node.body, inner)])
        if isinstance(node, ast.With | ast.AsyncWith):
            return self.block(node.body, paths)
        if isinstance(node, ast.Try):
            done = self.block(node.body, paths)
            for handler in node.handlers:
                caught = [{**names, handler.name: UNKNOWN} if handler.name else names for names in paths]
                done = [*done, *self.block(handler.body, caught)]
            return self.block(node.finalbody, self.block(node.orelse, done) if node.orelse else done)
        if isinstance(node, ast.Match):
            return [*paths, *(one for case in node.cases for one in self.block(case.body, paths))]
        return paths

    def _expressions(self, node: ast.stmt, names: Names) -> list[Names]:
        """Record the messages in the statement's own expressions. Return the names after its walruses."""
        found = [names]
        for walruses, calls in _within(node):
            for inner in walruses:
                found = [one for each in found for one in self._assigned([inner.target], inner.value, each)]
            for call in calls:
                for each in found:
                    self._call(call, each)
        return found

    def _assigned(self, targets: Sequence[ast.expr], value: ast.expr, names: Names) -> Iterator[Names]:
        for found in self._values(value, names):
            changed = dict(names)
            for target in targets:
                _bind(target, found, changed)
            yield changed

    def _call(self, node: ast.Call, names: Names) -> None:
        name = _name(node.func)
        if name == "ValueError" and node.args:
            for text in self._values(node.args[0], names):
                self._reader.add({"fact": text})
        elif name in _MAKERS and isinstance(node.func, ast.Name):
            self._record(node, _MAKERS[name], names)
        elif name == "Check":
            self._record(node, _CHECK, names)
        elif name in _CONSEQUENCES and len(node.args) == 1:
            self._record(node, ("consequence",), names, _OTHERS)
        elif name == "replace" and any(each.arg in _PARTS for each in node.keywords):
            self._record(node, (), names, _OTHERS)
        elif name in _TEXTS:
            given = node.args if name in _ANYWHERE else node.args[:1]
            given = [*given, *(each.value for each in node.keywords if each.arg == "message")]
            for text in (text for each in given for text in self._values(each, names)):
                if isinstance(text, str) and text.strip(UNKNOWN + _GIVEN + " :."):
                    self._reader.add(dict(zip(_PARTS, split(text), strict=True)))
        else:
            function = self._source.function(self._module, node.func)
            if function and id(function[1]) in self._reader.askers:
                self._inline(*function, node, names)

    def _record(self, node: ast.Call, parts: Sequence[str], names: Names, others: Names | None = None) -> None:
        for found in self._arguments(node, parts, names):
            if found.get("result") != "ok":
                self._reader.add({**(others or {}), **found})

    def _arguments(self, node: ast.Call, parts: Sequence[str], names: Names) -> Iterator[Names]:
        """Yield the arguments of a call by name, for each value that they may have."""
        given = [[(value,) for value in self._values(each, names)] for each in node.args]
        for at, each in enumerate(node.args):
            if isinstance(each, ast.Starred):
                given[at] = [one if isinstance(one, tuple) else (one,) for one in self._values(each.value, names)]
        named = [self._values(each.value, names) for each in node.keywords]
        for found in islice(product(*given, *named), _PATHS):
            positional = [value for group in found[: len(given)] for value in group]
            words = {
                each.arg: value for each, value in zip(node.keywords, found[len(given) :], strict=True) if each.arg
            }
            yield {**dict(zip(parts, positional, strict=False)), **words}

    def _inline(self, module: Module, function: Function, node: ast.Call, names: Names) -> list[Value]:
        parameters = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
        if parameters[:1] in (["self"], ["cls"]):
            parameters = parameters[1:]
        defaults: Names = {}
        for parameter, default in zip(parameters[::-1], function.args.defaults[::-1], strict=False):
            defaults[parameter] = self._elsewhere(module, default)[0]
        found: list[Value] = []
        for given in self._arguments(node, parameters, names):
            found += self._reader.read(module, function, {**defaults, **given}, self._depth + 1)
        return _few(found)

    def _values(self, node: ast.expr | None, names: Names) -> list[Value]:
        """Return the texts, or the tuples of texts, that an expression may have."""
        if isinstance(node, ast.Constant):
            if node.value is True or isinstance(node.value, bytes):
                return [UNKNOWN]
            return [str(node.value) if node.value is not None and node.value is not False else ""]
        if isinstance(node, ast.Name):
            if node.id in names:
                return [names[node.id]]
            constant = self._source.constant(self._module, node.id)
            return self._elsewhere(*constant) if constant else [UNKNOWN]
        if isinstance(node, ast.JoinedStr):
            return ["".join(self._one(part, names) for part in node.values)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and not _is_number(node.right):
            return [self._one(node.left, names) + self._one(node.right, names)]
        if isinstance(node, ast.IfExp) and _never(node.test, names):
            return self._values(node.orelse, names)
        if isinstance(node, ast.IfExp):
            return _few([*self._values(node.body, names), *self._values(node.orelse, names)])
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            return _few([value for each in node.values for value in self._values(each, names)])
        if isinstance(node, ast.Tuple):
            return _few(list(product(*(self._values(each, names) for each in node.elts))))
        if isinstance(node, ast.NamedExpr):
            return self._values(node.value, names)
        if isinstance(node, ast.Await):
            return self._values(node.value, names)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Call):
            return self._values(node.value, names) if _name(node.value.func) == "splitlines" else [UNKNOWN]
        if isinstance(node, ast.Call):
            if _name(node.func) in _SAME and node.args:
                return self._values(node.args[0], names)
            if isinstance(node.func, ast.Attribute) and node.func.attr in _SAME_METHODS:
                return self._values(node.func.value, names)
            function = self._source.function(self._module, node.func)
            if function and _is_text(function[1].returns):
                return self._inline(*function, node, names)
        return [UNKNOWN]

    def _elsewhere(self, module: Module, node: ast.expr) -> list[Value]:
        return _Run(self._reader, self._source, module, _DEPTH)._values(node, {})

    def _one(self, node: ast.expr, names: Names) -> str:
        """Return the text of an expression within a text."""
        found = self._values(node.value if isinstance(node, ast.FormattedValue) else node, names)
        return (len(found) == 1 and isinstance(found[0], str) and found[0]) or UNKNOWN


@cache
def _within(node: ast.stmt) -> list[tuple[list[ast.NamedExpr], list[ast.Call]]]:
    """Return the walruses and the calls in each of a statement's own expressions. A statement is read on many paths."""
    own = (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr | ast.withitem | ast.keyword))
    walked = [list(ast.walk(child)) for child in own]
    return [
        (
            [each for each in nodes if isinstance(each, ast.NamedExpr)],
            [each for each in nodes if isinstance(each, ast.Call)],
        )
        for nodes in walked
    ]


def _is_text(node: ast.expr | None) -> bool:
    return node is not None and all(
        _name(each) in {"str", "tuple", "None", ""} for each in ast.walk(node) if isinstance(each, ast.Name)
    )


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str)


def _few(values: list[Value]) -> list[Value]:
    distinct = list(dict.fromkeys(values))
    return distinct if 0 < len(distinct) <= _VALUES else [UNKNOWN]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _bind(target: ast.expr, value: Value, names: Names) -> None:
    if isinstance(target, ast.Name):
        names[target.id] = value
    elif isinstance(target, ast.Tuple | ast.List):
        fits = isinstance(value, tuple) and len(value) == len(target.elts)
        for at, each in enumerate(target.elts):
            _bind(each, value[at] if fits else UNKNOWN, names)


def _never(test: ast.expr, names: Names) -> bool:
    """Return whether a test is known to fail: a number that is 0, a text that is empty, or whether 0 is among some."""
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.In):
        return _never(test.left, names)
    test = test.target if isinstance(test, ast.NamedExpr) else test
    return isinstance(test, ast.Name) and names.get(test.id) in ("0", "")


def _forgotten(target: ast.expr, names: Names) -> Names:
    changed = dict(names)
    _bind(target, UNKNOWN, changed)
    return changed
