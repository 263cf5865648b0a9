"""All commands, options, and linked files and headings in documents and code exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_lines import FENCED, ROOT, commands, shell_blocks, unknown_words

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE = (
    "benchmarks",
    "components",
    "contract",
    "imagefactory",
    "localcloud",
    "pipelines",
    "providers",
    "tests",
    "toolchain",
)
"""Folders with comments and messages that name documents."""
PLACEHOLDER = re.compile(r"<|\.\.\.|\w\|\w|…")
"""Marks of an abbreviation, which is not a command to type."""


def shown(document: Path) -> Iterator[list[str]]:
    """Yield the commands in the shell blocks and code spans of a document."""
    text = document.read_text("utf-8")
    for block in shell_blocks(text):
        yield from commands(block)
    prose = FENCED.sub("", text)
    for span in re.findall(r"`((?:pulumi|imagefactory|python3 dev\.py) [^`]+)`", prose):
        if not PLACEHOLDER.search(span):
            yield from commands(span.replace("\n", " "))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_document_exists(document: Path) -> None:
    """With each of its options."""
    assert {" ".join(command): unknown_words(command) for command in shown(document) if unknown_words(command)} == {}


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub names them."""
    text = FENCED.sub("", document.read_text("utf-8"))
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return set(found)


def is_dead(link: str, document: Path) -> bool:
    """Return whether the file of a link, or its heading, is missing."""
    path, _, anchor = link.partition("#")
    target = document.parent / path if path else document
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_has_a_target(document: Path) -> None:
    """A file and, if the link names one, a heading in it; for links within the project."""
    links = re.findall(r"\]\(([^)\s]+)[^)]*\)", FENCED.sub("", document.read_text("utf-8")))
    assert [link for link in links if ":" not in link and is_dead(link, document)] == []


def test_a_dead_link_is_found() -> None:
    """Also if only the heading is missing."""
    document = ROOT / "docs" / "setup.md"
    assert not is_dead("tasks/save.md#save-vms", document) and not is_dead("#9-update", document)
    dead = ["missing.md", "tasks/save.md#rules", "#91-update"]
    assert [link for link in dead if is_dead(link, document)] == dead


def test_every_document_that_code_names_exists() -> None:
    """With the heading, or the decision, that a message, a comment or a pipeline names."""
    files = [*ROOT.glob("*.py"), *ROOT.glob("*.y*ml"), *(path for name in CODE for path in ROOT.glob(f"{name}/**/*.*"))]
    named = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in files
        if path.suffix in {".py", ".yml", ".yaml", ".sh", ".cjs"}
        for name in re.findall(r"docs/(?:adr/\d{4}\b|[\w./-]+\.md(?:#[\w-]+)?)", path.read_text("utf-8"))
    }
    assert len(named) > 5
    missing = {
        (path, name)
        for path, name in named
        if (is_dead(name, ROOT / "README.md") if ".md" in name else not [*ROOT.glob(f"{name}-*.md")])
    }
    assert missing == set()


def test_the_example_of_an_error_is_what_validate_prints(tmp_path: Path) -> None:
    """With a typing error in the labs.json that README shows."""
    text = (ROOT / "README.md").read_text("utf-8")
    (labs,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^(Configuration/labs\.json:.*)$", text, re.MULTILINE)
    shutil.copytree(ROOT / "Configuration" / "GoldenImages", tmp_path / "Configuration" / "GoldenImages")
    (tmp_path / "Configuration" / "labs.json").write_text(labs.replace("Win2016", "Win2106"), "utf-8")
    command = [sys.executable, "-c", "from imagefactory.cli.main import main; main()", "validate"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert printed.returncode == 1 and shown in printed.stdout.splitlines()


def test_the_documents_show_commands_of_every_program() -> None:
    """So the checks above find commands to check."""
    programs = {command[0] for document in DOCUMENTS for command in shown(document)}
    assert {"pulumi", "imagefactory", "python3"} <= programs


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("pulumi up --yes --refesh", ["--refesh"]),
        ("A=1 pulumi stack inti --yes | tee log", ["inti", "--yes"]),
        ("pulumi stack init dev && pulumi stack select -x dev", ["-x"]),
        ("pulumi updat", ["updat"]),
        ("imagefactory validate --fromat azure", ["--fromat"]),
        ("imagefactory valdate", ["valdate"]),
        ("imagefactory --version && imagefactory --vresion", ["--vresion"]),
        (".venv/bin/imagefactory validate --fromat azure", ["--fromat"]),
        (".venv/bin/python -m benchmarks --part ranges --jsno", ["--jsno"]),
        ('eval "$(python3 dev.py evn)"', ["evn"]),
        ("python3 dev.py cloud start --sed x", ["--sed"]),
    ],
)
def test_an_unknown_command_or_option_is_found(line: str, unknown: list[str]) -> None:
    """Anywhere in a line."""
    assert [word for command in commands(line) for word in unknown_words(command)] == unknown
