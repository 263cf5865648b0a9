"""Finds the commands in shell scripts, and the commands and options in them that the real programs do not have.

Parses only the shell syntax that this project uses. Runs only `--help`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer

from benchmarks.__main__ import run as run_benchmarks
from imagefactory.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {"config", "plugin", "stack", "state"}
"""Commands of pulumi that have subcommands."""
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^ *```(?:sh|bash|shell)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def shell_blocks(text: str) -> list[str]:
    """Return the scripts in the shell blocks of a document, indented as there."""
    return _SHELL.findall(text)


def commands(script: str) -> Iterator[list[str]]:
    """Yield the commands of pulumi, imagefactory, dev.py and the benchmarks in `script`, each as a list of words."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            for nested in re.findall(r"\$\((.*)\)", word):
                yield from commands(nested)
            if set(word) <= set("();<>|&"):
                yield from _ours(command)
                command = []
            else:
                command.append(word)


def _ours(command: list[str]) -> Iterator[list[str]]:
    while command and re.fullmatch(r"\w+=.*", command[0]):
        command = command[1:]
    command = [word.removeprefix(".venv/bin/") for word in command[:1]] + command[1:]
    is_ours = command[:1] in (["pulumi"], ["imagefactory"]) or command[1:2] == ["dev.py"]
    if is_ours or command[1:3] == ["-m", "benchmarks"]:
        yield command


def unknown_words(command: list[str]) -> list[str]:
    """Return the subcommands and options of `command` that its program does not have."""
    if command[0] == "pulumi":
        return _unknown_to_pulumi(command[1:])
    if command[0] == "imagefactory":
        return _unknown_to_imagefactory(command[1:])
    if command[1] == "-m":
        return _unknown_to_benchmarks(command[3:])
    return _unknown_to_dev(command[2:])


def _options(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]


def _unknown_to_pulumi(words: list[str]) -> list[str]:
    bare = [word for word in words if not word.startswith("-")]
    path = bare[: 2 if bare[:1] and bare[0] in GROUPS else 1]
    text = _pulumi_help(*path)
    usage = re.search(r"^Usage:\n  pulumi ([a-z -]*?)(?: [\[<]|$)", text, re.MULTILINE)
    aliases = re.search(r"^Aliases:\n  (.+)$", text, re.MULTILINE)
    names = {usage[1].split()[-1] if usage and usage[1] else "", *(aliases[1].split(", ") if aliases else ())}
    known = {option for pair in re.findall(r"^ +(?:(-\w), )?(--[\w-]+)", text, re.MULTILINE) for option in pair}
    wrong = [word for word in path[-1:] if word not in names]
    return wrong + [option for option in _options(words) if option not in known]


@cache
def _pulumi_help(*path: str) -> str:
    program = shutil.which("pulumi")
    assert program, "pulumi is not on the PATH: run the tests with `python3 dev.py test`"
    environment = {**os.environ, "PULUMI_DEBUG_COMMANDS": "true"}  # without it, `--event-log` does not exist
    command = [program, *path, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def _unknown_to_imagefactory(words: list[str]) -> list[str]:
    program: Any = typer.main.get_command(app)
    if not words[0].startswith("-"):
        if words[0] not in program.commands:
            return words[:1]
        program = program.commands[words[0]]
    return _unknown_options(program, words)


def _unknown_to_benchmarks(words: list[str]) -> list[str]:
    program = typer.Typer()
    program.command()(run_benchmarks)
    return _unknown_options(typer.main.get_command(program), words)


def _unknown_options(program: Any, words: list[str]) -> list[str]:
    known = {option for each in program.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    return [option for option in _options(words) if option not in known]


@cache
def _dev_help(*path: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "dev.py"), *path, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _unknown_to_dev(words: list[str]) -> list[str]:
    path = words[: 2 if words[:1] == ["cloud"] else 1]
    shown = _dev_help(*path)
    if shown.returncode:
        return path
    return [] if path == ["test"] else [option for option in _options(words) if option not in shown.stdout]
