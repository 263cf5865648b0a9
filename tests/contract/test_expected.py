"""The whole contract against the embedded cloud."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

import contract.experiments  # noqa: F401 - registers them
from contract.__main__ import EXPECTED
from contract.registry import EXPERIMENTS
from tests.contract.place import CONTRACT
from toolchain.checkout import Checkout

ROOT = Checkout.here().root
PAGE = (ROOT / "docs" / "development" / "contract.md").read_text("utf-8")


def test_the_embedded_cloud_answers_as_expected(tmp_path: Path) -> None:
    """All experiments, by the command: no difference, no failure, nothing left, and no secret in the report.

    After a wanted change of the embedded cloud: python3 dev.py contract --write-expected."""
    report = tmp_path / "report.json"
    command = [*CONTRACT, "--json", "--output", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    shown = json.loads(done.stdout)
    assert shown["differences"] == [] and shown["left"] == [] and done.returncode == 0, done.stderr
    assert set(shown["experiments"]) == set(EXPERIMENTS) and json.loads(report.read_text("utf-8")) == shown
    assert not re.search(r"eyJ|[?&]sig=|Bearer [a-z0-9]{20}|127\.0\.0\.1", done.stdout + done.stderr)


def test_each_experiment_has_an_expectation_with_a_source() -> None:
    """Or the reason why the embedded cloud has none; no expectation is of an experiment that does not exist."""
    expected = json.loads(EXPECTED.read_text("utf-8"))["experiments"]
    assert list(expected) == list(EXPERIMENTS)
    for name, each in expected.items():
        assert "failed" not in each and len(each["asks"]) > 40, name
        assert each.get("notModelled") or each["observations"], name
        sources = {answer["source"] for answer in each.get("observations", {}).values()}
        assert sources <= {"recorded", "published", "assumed"}, name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_experiment_is_on_the_page(name: str) -> None:
    """With what the documents say is assumed or was not tried."""
    assert f"`{name}`" in PAGE


def test_the_page_names_no_experiment_that_does_not_exist() -> None:
    """In the table of what was not tried."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]
    named = {name for row in rows for name in re.findall(r"`([a-z ]+: [^`]+)`", row)}
    assert named <= set(EXPERIMENTS) and len(named) > 20
