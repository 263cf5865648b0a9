"""Seeds of the embedded cloud: what a document adds, what it keeps, and what is rejected."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagefactory.images.vhd_footer import footer_problem
from localcloud.client import CloudClient, CloudError
from localcloud.fault_rules import Action
from localcloud.seed import SeedError, parse_seed
from localcloud.state_lock import is_locked
from tests.localcloud.arm_world import SUBSCRIPTION, lab, machine
from tests.localcloud.cloud_program import COMPANION, DISK_BYTES, MIB, SEED, Program, seed_of
from toolchain.checkout import Checkout


@pytest.fixture
def standing(fresh_cloud: CloudClient) -> Program:
    """The session's cloud, which runs already."""
    return Program(Path(fresh_cloud._where), os.environ)


@pytest.fixture
def account(accounts: Iterator[str]) -> str:
    """A storage account that no other test uses."""
    return next(accounts)


def test_a_seeded_factory_contains_what_the_document_says(standing: Program, account: str) -> None:
    """Complete VHDs with their metadata, companions byte for byte, an unfinished save without companion."""
    assert "already running" in standing.run("start", "--seed", standing.seed_file(seed_of(account)))
    found = standing.contents(account)
    assert set(found) == {"one.vhd", "one.json", "unfinished.vhd", "junk.vhd", "junk.json"}
    for name in ("one.vhd", "unfinished.vhd", "junk.vhd"):
        assert footer_problem(found[name][0][-512:], len(found[name][0])) is None
    assert len({found[name][0] for name in ("one.vhd", "unfinished.vhd", "junk.vhd")}) == 3
    assert found["one.vhd"][1] == {"imagename": "one"}
    assert found["one.json"][0].startswith(b"\xff\xfe")
    assert json.loads(found["one.json"][0].decode("utf-16")) == COMPANION
    assert found["junk.json"][0] == b"\x00junk"


def test_a_second_seed_of_the_same_document_changes_nothing(standing: Program, account: str) -> None:
    """Not even a blob's ETag; manual changes are kept."""
    seed = standing.seed_file(seed_of(account))
    standing.run("start", "--seed", seed)
    container = standing.container(account=account)
    container.delete_blob("one.json")
    container.get_blob_client("junk.vhd").set_blob_metadata({"mine": "yes"})
    before = {blob.name: blob.etag for blob in container.list_blobs()}
    labs, keys = standing.client.status()["labs"], standing.client.status()["storageAccounts"]

    assert "already running" in standing.run("start", "--seed", seed)
    assert {blob.name: blob.etag for blob in container.list_blobs()} == before
    assert (standing.client.status()["labs"], standing.client.status()["storageAccounts"]) == (labs, keys)


def test_an_interrupted_seed_is_repeated(standing: Program, account: str) -> None:
    """A VHD that still has the mark of its upload is uploaded again."""
    seed = standing.seed_file(seed_of(account))
    standing.run("start", "--seed", seed)
    whole = standing.contents(account)["one.vhd"]
    half = standing.container(account=account).get_blob_client("one.vhd")
    half.create_page_blob(DISK_BYTES + 512, metadata={"localcloudunfinished": "true"})
    standing.run("start", "--seed", seed)
    assert standing.contents(account)["one.vhd"] == whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labs": []}, "labs: Extra inputs are not permitted"),
        ({"storageAccounts": ["Not-A-Name"]}, "is not a storage account name"),
        ({"factoryImages": [{"lab": "nowhere", "vhd": "a.vhd", "sizeBytes": 64 * MIB}]}, "does not exist"),
        ({"factoryImages": [{"lab": "empty", "vhd": "a.vhd", "sizeBytes": 64 * MIB}]}, "has no storage account"),
        ({"factoryImages": [{"lab": "factory", "vhd": "a.vhd", "sizeBytes": MIB + 1}]}, "multiple of 1048576"),
        ({"factoryImages": [{"lab": "factory", "vhd": "a.vhd", "sizeBytes": 64 * MIB, "files": {"../a": ""}}]}, "../a"),
        (
            {"factoryImages": [{"lab": "factory", "vhd": "a.vhd", "sizeBytes": 64 * MIB, "companionBase64": "?"}]},
            "base64",
        ),
    ],
)
def test_an_invalid_seed_is_rejected_atomically(fresh_cloud: CloudClient, change: dict[str, Any], words: str) -> None:
    """The message names the location; no part of the document is added."""
    before = fresh_cloud.status()
    with pytest.raises(CloudError) as caught:
        fresh_cloud.seed({**SEED, **change})
    assert words in str(caught.value) and "nothing was seeded" in str(caught.value)
    assert fresh_cloud.status() == before


def test_an_invalid_seed_file_is_reported_before_the_start(program: Program) -> None:
    """`serve` and `start` name the file and the location, and exit with code 1."""
    file = program.seed_file({**SEED, "labs": []})
    for verb in ("serve", "start"):
        output = program.run(verb, "--seed", file, ok=False)
        assert f"error: {file}: labs: Extra inputs are not permitted" in output
    assert not is_locked(program.state)


@pytest.mark.parametrize(("content", "words"), [("{", "is not JSON"), (None, "cannot be read")])
def test_a_missing_or_broken_seed_file_is_reported_before_the_start(
    program: Program, content: str | None, words: str
) -> None:
    """The error has its path, and no cloud is started."""
    file = program.state.with_name("seed.json")
    if content is not None:
        file.write_text(content, encoding="utf-8")
    output = program.run("start", "--seed", file, ok=False)
    assert words in output and str(file) in output.replace("\n", "")
    assert not is_locked(program.state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "a/b"}, "pattern"),
        ({"osType": "None"}, "osType"),
        ({"powerState": "asleep"}, "powerState"),
        ({"sizeBytes": MIB + 1}, "multiple of"),
        ({"allocatedBytes": 60 * MIB}, "8 MiB less"),
        ({"dataDisks": [{"lun": 1, "sizeBytes": 64 * MIB}] * 2}, "same lun"),
    ],
)
def test_an_invalid_machine_is_not_seeded(change: dict[str, Any], words: str) -> None:
    """Each problem is named."""
    document = {"subscriptionId": SUBSCRIPTION, "labs": [lab(virtualMachines=[machine(**change)])]}
    with pytest.raises(SeedError, match=words):
        parse_seed({"subscriptions": [document]})
    twice = {"subscriptionId": SUBSCRIPTION, "labs": [lab(virtualMachines=[machine(), machine("WIN-A")])]}
    with pytest.raises(SeedError, match="same name"):
        parse_seed({"subscriptions": [twice]})


def test_the_documented_seed_is_valid_and_its_actions_are_complete() -> None:
    """The example of docs/development/embedded-cloud.md parses, and its table of actions lists every action."""
    text = (Checkout.here().root / "docs" / "development" / "embedded-cloud.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    document = parse_seed(json.loads(example))
    assert document.accounts() == ["factorystore", "webteamstore", "sparestore"]
    actions = [Action.model_validate_json(each) for each in re.findall(r"^\| `(\{.*\})` \|", text, re.MULTILINE)]
    assert set().union(*(each.model_fields_set for each in actions)) == set(Action.model_fields)
