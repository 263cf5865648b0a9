"""Runs a verb of `imagefactory` in the test's own process, with another function in place of the one that it calls.

Owns the folder with its stack, and what is put back afterwards.
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

from imagefactory.cli.interruption import SIGNALS
from imagefactory.cli.main import main
from tests.unit.builders import SUBSCRIPTION

STACK = "dev"


@dataclass(frozen=True)
class Told:
    """What a verb printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


Verb = Callable[..., Told]


@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers of signals are put back, which a command that is stopped leaves as the system's own."""
    held = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in held.items():
        signal.signal(number, handler)


@pytest.fixture
def verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], handlers: None) -> Verb:
    """Runs a verb on a stack `dev`; `instead` names functions with what is called in their place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_STACK", STACK)
    factory = {"subscriptionId": SUBSCRIPTION, "labName": "factory"}
    Path(f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": {"imagefactory:factory": factory}}), "utf-8")

    def run(*words: str, instead: Mapping[str, Callable[..., Any]] | None = None) -> Told:
        for name, function in (instead or {}).items():
            monkeypatch.setattr(name, function)
        monkeypatch.setattr(sys, "argv", ["imagefactory", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return Told(int(end.value.code or 0), *capsys.readouterr())

    return run
