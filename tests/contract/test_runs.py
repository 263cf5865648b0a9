"""Runs that fail, are interrupted or killed leave nothing behind; differences are named exactly."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contract.__main__ import EXPECTED
from contract.differences import differences
from contract.run import run
from tests.contract.place import CONFIRMED, Spare, chosen, places


def performed(spare: Spare, *parts: str) -> dict[str, Any]:
    """Perform experiments in this process; return the report with its differences."""
    report, left = run(spare.place, spare.wire, chosen(*parts), lambda _: None)
    assert left == []
    report["differences"] = differences(json.loads(EXPECTED.read_text("utf-8")), report)
    return report


def test_another_form_of_answers_is_the_difference(spare: Spare) -> None:
    """A cloud with a location and documented ids differs in these and nothing else; each names the expected source."""
    spare.cloud.client.set_answers("published")
    report = performed(spare, "images: create and change")
    fields = {where.rpartition(".")[2] for _, where in places(report)}
    assert fields == {"location", "id"}
    first = [each for each in report["differences"] if each["observation"] == "the first PUT"]
    assert [(each["where"], each["expected"], each["observed"]) for each in first] == [
        (
            "body.id",
            "/subscriptions/{subscription}/resourcegroups/{group}/providers/microsoft.devtestlab/labs/{lab}"
            "/customimages/{run}-first",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.DevTestLab/labs/{lab}"
            "/customimages/{run}-first",
        ),
        ("body.location", "(absent)", "{region}"),
    ]
    assert {each["expectedSource"] for each in first} == {"recorded"}


def test_one_other_answer_is_one_difference(spare: Spare) -> None:
    """Also of a cloud that answers a single call with another code."""
    code = {"status": 409, "code": "LeaseIdMissingHere"}
    rule = {"service": "blob", "method": "DELETE", "path": r"/leased(\?|$)", "times": 1, "action": code}
    spare.cloud.client.set_faults([rule])
    report = performed(spare, "leases")
    assert {what for what, _ in places(report)} == {"delete without it"}
    assert {"status", "code"} <= {where for _, where in places(report)}


def test_a_failed_experiment_is_reported_and_the_next_ones_are_performed(spare: Spare) -> None:
    """With the request that failed; what it had created is deleted."""
    denied = {"status": 403, "code": "AuthorizationFailed"}
    spare.cloud.client.set_faults([{"service": "arm", "method": "PUT", "path": "customimages", "action": denied}])
    report = performed(spare, "images: delete", "leases")
    failure = report["experiments"]["images: delete"]["failed"]
    assert failure.startswith("PUT /subscriptions/{subscription}/") and failure.endswith("403 AuthorizationFailed")
    assert "failed" not in report["experiments"]["leases: of a blob"]
    assert [each["where"] for each in report["differences"]] == ["failed"]


def test_what_cannot_be_deleted_is_named(spare: Spare) -> None:
    """And deleted by the next run."""
    refused = {"status": 409, "code": "ScopeLocked"}
    rule = {"service": "arm", "method": "DELETE", "path": "customimages/contract-.*-C", "action": refused}
    spare.cloud.client.set_faults([rule])
    _, left = run(spare.place, spare.wire, chosen("lists: custom images"), lambda _: None)
    assert len(left) == 1 and "list-C" in left[0] and "409 ScopeLocked" in left[0]
    assert len(spare.found().images) == 1
    spare.cloud.client.clear_faults()
    assert performed(spare, "accounts: keys")["differences"] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_run_leaves_nothing_after_the_next_one(spare: Spare, tmp_path: Path, number: int) -> None:
    """Ctrl-C and SIGTERM clean up at once; what a killed run left is deleted by the next."""
    folder = spare.stack(tmp_path)
    spare.cloud.client.set_latencies({"imageCreateSeconds": 3600})
    command = [*CONFIRMED, "--only", "page writes", "--only", "lists: custom"]
    process = subprocess.Popen(
        command, cwd=folder, env=spare.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        while not spare.found().images:
            assert process.poll() is None
        process.send_signal(number)
        told = process.stderr.read()
    if number == signal.SIGKILL:
        assert len(spare.found().images) > 0
        spare.cloud.client.set_latencies({})
        assert spare.run(folder, *CONFIRMED, "--only", "accounts: keys").returncode == 1  # keyless accounts are none
    else:
        assert process.returncode == 130 and "contract: interrupted." in told, told
    found = spare.found()
    assert found.own == [] and sorted(found.others) == ["deleted", "read"]
