"""Runs a subcommand of `imagefactory` in the process of the test, with replacements for the functions that it calls.

Creates the working directory with its stack, and restores what it replaced.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagefactory.cli.main import main
from imagefactory.cli.terminal.interruption import SIGNALS
from tests.unit.builders import SUBSCRIPTION

STACK = "dev"


@dataclass(frozen=True)
class Printed:
    """What a subcommand printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)


Verb = Callable[..., Printed]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Restores the signal handlers: an interrupted command leaves the default ones."""
    held = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in held.items():
        signal.signal(number, handler)


@pytest.fixture
def verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], handlers: None) -> Verb:
    """Runs a subcommand on a stack `dev`; `instead` maps names of functions to replacements."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_STACK", STACK)
    factory = {"subscriptionId": SUBSCRIPTION, "labName": "factory"}
    Path(f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": {"imagefactory:factory": factory}}), "utf-8")

    def run(*words: str, instead: Mapping[str, Callable[..., Any]] | None = None) -> Printed:
        for name, function in (instead or {}).items():
            monkeypatch.setattr(name, function)
        monkeypatch.setattr(sys, "argv", ["imagefactory", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return Printed(int(end.value.code or 0), *capsys.readouterr())

    return run
