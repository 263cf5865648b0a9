"""Writes docs/messages.md: the messages of the product by room, as tables of Markdown."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from toolchain.messages.reading import Message, messages
from toolchain.messages.source import Source, of_folders

PRODUCT = ("imagefactory", "providers", "components")
PAGE = Path("docs", "messages.md")
_ENTRIES = Path("docs", "troubleshooting.md")
_CODES = "imagefactory.azure.core.refusals", "_TABLE"

_INTRODUCTION = """\
# All messages

The errors and warnings of the programs, by what they are about. `python -m toolchain.messages` writes this page from
the source. `...` stands for what only a run can know: names, numbers, texts of Azure. Search for the words around it.
If there is more to say than the remedy, *more* leads to the entry in [troubleshooting](troubleshooting.md).

Messages have the form `subject: fact; consequence. Remedy.` Where the consequence is empty, whoever reports the message
adds it: a run says which lab keeps its images, `save` which VM is not saved, `imagefactory doctor` whether a run would
fail (`failure`), would not (`warning`), or that this is not known (`unknown`). The row `...: ...` of a section has
what follows there from an error of Azure, whose remedies are in [Access](#access) and [Codes of
Azure](#codes-of-azure). What only Pulumi says is not here.
"""
_ROOMS: dict[str, tuple[str, ...]] = {
    "Galleries": (
        *("imagefactory.planning.galleries", "imagefactory.planning.labs.by_gallery", "components.image_gallery"),
        *("imagefactory.azure.compute_galleries", "imagefactory.azure.lab_galleries", "providers.vhdcopy.lab_gallery"),
        "imagefactory.configuration.gallery_settings",
    ),
    "Configuration": ("imagefactory.configuration",),
    "Save, clean-vms, prune, promote": (
        "imagefactory.planning.factory",
        "imagefactory.factory_lab",
        "imagefactory.azure.virtual",
    ),
    "Factory images": ("imagefactory.images", "imagefactory.azure.storage.factory"),
    "Labs and plan": ("imagefactory.planning", "components", "providers.vhdcopy.plan", "imagefactory.azure.lab"),
    "State": ("imagefactory.state",),
    "Copies": ("imagefactory.copying", "providers", "imagefactory.azure.storage"),
    "Access": ("imagefactory.azure",),
    "Doctor": ("imagefactory.doctor",),
    "Commands": ("imagefactory.cli", "imagefactory.neutral"),
    "Telemetry": ("imagefactory.telemetry",),
    "Comments on pull requests": ("imagefactory.comments",),
    "Others": ("",),
}
"""Which modules a room of the page has, by the start of their names. The first one that fits counts."""
_ORDER = ("Configuration", "Labs and plan", "Galleries", "Factory images", "State", "Copies")


@cache
def product(root: Path) -> tuple[Source, Sequence[Message]]:
    """Return the source of the product in a checkout, and its messages."""
    source = of_folders(root, *PRODUCT)
    return source, messages(source)


def page(root: Path) -> str:
    """Return the text of the page for the source of a checkout."""
    source, found = product(root)
    headings = message_headings((root / _ENTRIES).read_text("utf-8"))
    checks = [each for each in found if each.module.startswith("imagefactory.doctor") and each.subject]
    whole = [each for each in found if each.consequence or each.remedy or each in checks]
    parts = [each for each in found if each not in whole and " " in each.fact.strip(" .")]
    text = [_INTRODUCTION.rstrip("\n")]
    rooms = {room: [each for each in whole if _room(each.module) == room] for room in _ROOMS}
    for room in [*_ORDER, *(room for room in _ROOMS if room not in _ORDER)]:
        if rooms[room]:
            text += [f"\n## {room}\n", "| Message | Consequence | Remedy |", "| --- | --- | --- |"]
            text += _rows(rooms[room], headings)
    text += [
        "\n## Codes of Azure\n",
        "What `Azure returned ...` ends with, and its remedy.\n",
        "| Code | Remedy |",
        "| --- | --- |",
    ]
    text += [f"| `{code}` | {_prose(remedy)} |" for code, remedy in sorted(codes(source).items())]
    text += ["\n## Parts of messages\n", "Facts that another message quotes, in the place of a `...`.\n"]
    text += sorted({f"- {_code(_facts(part))}{_links([part], headings, ' ')}" for part in parts})
    return "\n".join(text) + "\n"


def message_headings(troubleshooting: str) -> list[str]:
    """Return the headings that are messages of the product."""
    sections = re.findall(r"^## Messages: .*\n((?:(?!## ).*\n)*)", troubleshooting, re.MULTILINE)
    return [heading for section in sections for heading in re.findall(r"^### (.*)$", section, re.MULTILINE)]


def has_heading(message: Message, heading: str) -> bool:
    """Return whether the fact or the consequence of a message has the heading in it, with any text for each `...`."""
    parts = [re.sub(r"\d+", r"(?:\g<0>|\\.\\.\\.)", re.escape(part)) for part in heading.strip("`").split("...")]
    pattern = re.compile(".*".join(parts))
    facts = _facts(message)
    whole = f"{facts}; {message.consequence}" if "; " in heading else facts
    return any(pattern.search(text) for text in (whole, message.consequence))


def codes(source: Source) -> dict[str, str]:
    """Return the remedies by error code of Azure."""
    table = source.modules[_CODES[0]].constants[_CODES[1]]
    if not isinstance(table, ast.Dict):
        return {}
    return {_text(source, key): _text(source, value) for key, value in zip(table.keys, table.values, strict=True)}


def _facts(message: Message) -> str:
    return f"{message.subject}: {message.fact}" if message.subject else message.fact


def _rows(found: Iterable[Message], headings: Sequence[str]) -> Iterator[str]:
    for _, group in groupby(sorted(found, key=lambda each: each[1:]), key=lambda each: each[1:3]):
        same = list(group)
        shown = _code(_facts(same[0]))
        consequences, remedies = (_alternatives([each[at] for each in same]) for at in (3, 4))
        yield f"| {shown}{_links(same, headings, '<br>')} | {consequences} | {remedies} |"


def _links(same: Iterable[Message], headings: Sequence[str], before: str) -> str:
    """Return links to the entries that the messages have."""
    found = [heading for heading in headings if any(has_heading(message, heading) for message in same)]
    links = ", ".join(f"[more]({_ENTRIES.name}#{anchor(heading)})" for heading in found)
    return f"{before}{links}" if links else ""


def _alternatives(texts: Sequence[str]) -> str:
    """Return the texts of a cell; a `...` beside others says nothing."""
    distinct = sorted({text for text in texts if text.strip(". ;:")}) or [text for text in texts[:1] if text]
    return "<br>or: ".join(_prose(text) for text in distinct)


def _room(module: str) -> str:
    return next(room for room, starts in _ROOMS.items() if module.startswith(starts))


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", r"\|")


def _prose(text: str) -> str:
    """Escape what Markdown would read in a text, but for code, and link the documents that it names."""
    pieces = re.split(r"(`[^`]*`)", text)
    plain = [piece if at % 2 else re.sub(r"([\\*_\[\]<>{}$~])", r"\\\1", piece) for at, piece in enumerate(pieces)]
    return re.sub(r"docs/([\w/-]+\.md(?:#[\w-]+)?)", r"[\g<0>](\1)", "".join(plain)).replace("|", r"\|")


def anchor(heading: str) -> str:
    """Return the anchor of a heading as GitHub names it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _text(source: Source, node: ast.expr | None) -> str:
    module = source.modules[_CODES[0]]
    if isinstance(node, ast.Name):
        found = source.constant(module, node.id)
        return _text(source, found[1] if found else None)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(source, part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(source, node.value)
    return str(node.value).replace("{place}", "...") if isinstance(node, ast.Constant) else "..."
