"""The command with `--azure`, against an embedded cloud that it reaches and signs in to as it would on Azure."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.__main__ import main
from contract.embedded import LAB
from tests.contract.place import AZURE, CONFIRMED, Spare
from tests.factory_lab.terminal import Terminal

ONLY = ("--only", "leases", "--only", "disks: refused")


@pytest.fixture
def here(spare: Spare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of this process, which has no terminal and signs in to the place."""
    for name, value in spare.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "there is no terminal to ask at; nothing was changed. Pass --yes"),
        (("--json",), "--json cannot prompt; nothing was changed. Pass --yes"),
        (
            ("--yes",),
            "that no run created (deleted, read); nothing was changed. Name another lab, or",
        ),
        (("--yes", "--confirm-lab", "other"), f"or pass --confirm-lab {LAB}."),
        (("--yes", "--lab", "missing"), "has 0 labs named missing; nothing was changed. Check --lab"),
    ],
)
def test_nothing_is_changed_without_consent(
    spare: Spare, here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    """Without a terminal it takes --yes, and a lab with things of others takes its name once more."""
    spare.stack(here)
    assert main([*AZURE[3:], *options]) == 2
    assert told in capsys.readouterr().err
    assert spare.writes() == [] and list(here.iterdir()) == [here / "Pulumi.spare.yaml"]


def test_the_factory_lab_is_refused(spare: Spare, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However it is confirmed."""
    spare.stack(here, factory=LAB.lower())
    assert main(CONFIRMED[3:]) == 2
    assert "is the factory lab of the stack; nothing was changed." in capsys.readouterr().err
    assert spare.writes() == []


def test_a_run_writes_the_report_with_differences(spare: Spare, tmp_path: Path) -> None:
    """Date, cloud and API versions; every answer is marked as measured; a disk that may not be created is reported."""
    done = spare.run(spare.stack(tmp_path), *CONFIRMED, "--json", *ONLY)
    report = json.loads((tmp_path / "contract.json").read_text("utf-8"))
    assert json.loads(done.stdout) == report and done.returncode == 1
    assert report["cloud"] == "custom" and report["apiVersions"]["labs"] == "2018-09-15" and report["date"][:2] == "20"
    leases, disks = report["experiments"]["leases: of a blob"], report["experiments"]["disks: refused grants"]
    assert {each["source"] for each in leases["observations"].values()} == {"measured"}
    assert disks["failed"].startswith("PUT ") and "Microsoft.Compute/disks/{run}-disk: returned 404" in disks["failed"]
    assert [(each["experiment"], each["where"]) for each in report["differences"]] == [
        ("disks: refused grants", "failed")
    ]


def test_a_terminal_sees_the_plan_and_can_decline(spare: Spare, tmp_path: Path) -> None:
    """What each experiment creates, and its cost, before the question; the lab's name is asked for first."""
    terminal = Terminal([*AZURE, *ONLY], spare.stack(tmp_path), spare.environment())
    terminal.read_until("Type the name of the lab to use it anyway: ")
    assert all(text in terminal.shown for text in ("leases: of a blob", "2 page blobs of 1 MiB", "about US$ 0.01"))
    terminal.answer(LAB)
    terminal.read_until("Run them? [y/N] ")
    terminal.answer("n")
    assert terminal.end() == 0 and "Not run; nothing was changed." in terminal.shown and spare.writes() == []


def test_a_terminal_can_agree(spare: Spare, tmp_path: Path) -> None:
    """Then the experiments are performed and a table shows the differences."""
    terminal = Terminal([*AZURE, *ONLY], spare.stack(tmp_path), spare.environment())
    terminal.read_until("Type the name of the lab to use it anyway: ")
    terminal.answer(LAB)
    terminal.read_until("Run them? [y/N] ")
    terminal.answer("y")
    assert terminal.end() == 1
    assert "Differences from contract/expected.json" in terminal.shown and "Wrote contract.json." in terminal.shown
