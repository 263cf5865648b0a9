"""Rules for all files of the project: length, docstrings, and names that must not occur."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from toolchain.checkout import Checkout

ROOT = Checkout.here().root
LONGEST_MODULE = 400
"""In lines; a longer module has more than one subject."""
PYTHON_LOCKS = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-otel.txt",
    "policies/requirements.txt",
    "toolchain/setup/go.txt",
    "toolchain/setup/node.txt",
)
NPM_LOCKS = (
    "localcloud/azurite/package-lock.json",
    "benchmarks/azcopy/package-lock.json",
    "tests/reports/browser/package-lock.json",
)
GO_MODULES = "toolchain/setup/engine_build/go.mod"
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:root|home|work|tmp)/\w")
"""A path that exists only on the author's machine."""


@cache
def files() -> tuple[Path, ...]:
    """Return all files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    found = [ROOT / name for name in listed.decode().split("\0") if name]
    assert found
    return tuple(path for path in found if path.is_file())


def modules(*suffixes: str) -> list[Path]:
    """Return the files with one of these suffixes."""
    return [path for path in files() if path.suffix in suffixes]


def lines(path: Path) -> int:
    """Return the number of lines."""
    return len(path.read_text("utf-8").splitlines())


def name(path: Path) -> str:
    """Return the path within the checkout."""
    return path.relative_to(ROOT).as_posix()


def test_the_program_is_short() -> None:
    """`__main__.py` reads like a table of contents; the functions that it calls do the work."""
    assert lines(ROOT / "__main__.py") <= 40


def test_no_module_is_long() -> None:
    """In the product, the embedded cloud, the benchmarks and the tests."""
    assert [name(path) for path in modules(".py", ".cjs") if lines(path) > LONGEST_MODULE] == []


def test_each_module_starts_with_a_docstring() -> None:
    """It states the module's purpose."""
    assert [name(path) for path in modules(".py") if not ast.get_docstring(ast.parse(path.read_text("utf-8")))] == []


def test_each_test_has_a_docstring() -> None:
    """With its name, it states what must be true."""
    silent = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path in modules(".py")
        if path.name.startswith("test_")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_file_contains_a_path_of_the_authors_machine() -> None:
    """Such as home, work and temporary folders."""
    named = [
        f"{name(path)}: {found[0]}"
        for path in files()
        if (found := MACHINE_PATH.search(path.read_text("utf-8", errors="replace")))
    ]
    assert named == []


# Locks


@pytest.mark.parametrize("lock", [*PYTHON_LOCKS, GO_MODULES])
def test_a_lock_contains_no_registry(lock: str) -> None:
    """Packages come from the registry, mirror or proxy that the machine is configured for."""
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", (ROOT / lock).read_text("utf-8"))


@pytest.mark.parametrize("lock", NPM_LOCKS)
def test_an_npm_lock_contains_no_registry(lock: str) -> None:
    """It has URLs of home pages and funding, but not of packages; each package has a hash."""
    packages = json.loads((ROOT / lock).read_text("utf-8"))["packages"]
    packages.pop("")
    assert packages
    assert [package for package, facts in packages.items() if "resolved" in facts] == []
    assert [package for package, facts in packages.items() if not facts["integrity"].startswith("sha512-")] == []


@pytest.mark.parametrize("lock", PYTHON_LOCKS)
def test_every_locked_requirement_is_pinned_and_hashed(lock: str) -> None:
    """With an exact version and a SHA-256."""
    text = (ROOT / lock).read_text("utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert requirements
    for line in requirements:
        assert re.match(r"[A-Za-z0-9._-]+(\[\S+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_the_development_lock_contains_the_runtime_lock_unchanged() -> None:
    """So the tested versions are those that run."""

    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^[A-Za-z0-9._-]+==[^\\\n]+", (ROOT / lock).read_text("utf-8"), re.MULTILINE))

    assert pins("requirements.txt") <= pins("requirements-dev.txt")
