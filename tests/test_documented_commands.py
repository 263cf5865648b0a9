"""What documents and code point at exists: every command with its options, every file and heading that they link to."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_lines import ROOT, commands, unknown_words

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE = ("benchmarks", "components", "imagefactory", "localcloud", "pipelines", "providers", "tests", "toolchain")
"""Folders whose comments and messages name documents."""
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"<|\.\.\.|\w\|\w|…")
"""Marks of an abbreviation that nobody types as it stands."""


def shown(document: Path) -> Iterator[list[str]]:
    """The commands in the shell blocks and in the code spans of a document."""
    text = document.read_text("utf-8")
    for block in re.findall(r"^ *```(?:sh|bash|shell)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        yield from commands(block)
    prose = FENCED.sub("", text)
    for span in re.findall(r"`((?:pulumi|imagefactory|python3 dev\.py) [^`]+)`", prose):
        if not PLACEHOLDER.search(span):
            yield from commands(span.replace("\n", " "))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_document_exists(document: Path) -> None:
    """A reader who types what is written never meets an unknown command or option."""
    assert {" ".join(command): unknown_words(command) for command in shown(document) if unknown_words(command)} == {}


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub names them."""
    text = FENCED.sub("", document.read_text("utf-8"))
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return set(found)


def leads_nowhere(link: str, document: Path) -> bool:
    """Whether a link of a document names a file that is missing, or a heading that its file does not have."""
    path, _, anchor = link.partition("#")
    target = document.parent / path if path else document
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(document: Path) -> None:
    """No link of a document is dead, as far as it stays within the project."""
    links = re.findall(r"\]\(([^)\s]+)[^)]*\)", FENCED.sub("", document.read_text("utf-8")))
    assert [link for link in links if ":" not in link and leads_nowhere(link, document)] == []


def test_a_dead_link_is_found() -> None:
    """Also one whose file exists and whose heading does not."""
    document = ROOT / "docs" / "setup.md"
    assert not leads_nowhere("operations.md#roles", document) and not leads_nowhere("#9-update", document)
    dead = ["missing.md", "operations.md#rules", "#91-update"]
    assert [link for link in dead if leads_nowhere(link, document)] == dead


def test_every_document_that_code_names_exists() -> None:
    """A message, a comment or a pipeline sends its reader to a page, a heading and a decision that are there."""
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
        if (leads_nowhere(name, ROOT / "README.md") if ".md" in name else not [*ROOT.glob(f"{name}-*.md")])
    }
    assert missing == set()


def test_the_example_of_an_error_is_what_validate_prints(tmp_path: Path) -> None:
    """README shows a labs.json and a message about it that are real ones."""
    text = (ROOT / "README.md").read_text("utf-8")
    (labs,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^(Configuration/labs\.json:.*)$", text, re.MULTILINE)
    shutil.copytree(ROOT / "Configuration" / "GoldenImages", tmp_path / "Configuration" / "GoldenImages")
    (tmp_path / "Configuration" / "labs.json").write_text(labs.replace("Win2016", "Win2106"), "utf-8")
    command = [sys.executable, "-c", "from imagefactory.cli.main import main; main()", "validate"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert printed.returncode == 1 and shown in printed.stdout.splitlines()


def test_the_documents_show_commands_of_every_program() -> None:
    """The reader of documents finds what it is to check."""
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
def test_a_wrong_word_is_found(line: str, unknown: list[str]) -> None:
    """The check is no formality: misspelt commands and options are found wherever they stand in a line."""
    assert [word for command in commands(line) for word in unknown_words(command)] == unknown
