"""Seeds of the embedded cloud: what a document fills, what it leaves alone, and what is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from imagefactory.images.vhd_footer import footer_problem
from localcloud.client import CloudClient, CloudError
from localcloud.fault_rules import Action
from localcloud.seed import SeedError, parse_seed
from localcloud.state_lock import is_locked
from tests.localcloud.arm_world import SUBSCRIPTION, lab, machine
from tests.localcloud.cloud_program import COMPANION, MIB, SEED, Program
from toolchain.checkout import Checkout


def test_a_seeded_factory_holds_what_the_document_says(program: Program) -> None:
    """Whole VHDs with their metadata, companions byte for byte, an unfinished save without one."""
    program.run("start", "--seed", program.seed_file(SEED))
    held = program.contents()
    assert set(held) == {"one.vhd", "one.json", "unfinished.vhd", "junk.vhd", "junk.json"}
    for name in ("one.vhd", "unfinished.vhd", "junk.vhd"):
        assert footer_problem(held[name][0][-512:], len(held[name][0])) is None
    assert len({held[name][0] for name in ("one.vhd", "unfinished.vhd", "junk.vhd")}) == 3
    assert held["one.vhd"][1] == {"imagename": "one"}
    assert held["one.json"][0].startswith(b"\xff\xfe")
    assert json.loads(held["one.json"][0].decode("utf-16")) == COMPANION
    assert held["junk.json"][0] == b"\x00junk"


def test_a_second_seed_of_the_same_document_changes_nothing(program: Program) -> None:
    """Not even a blob's ETag; what a user changed by hand stays as it is."""
    seed = program.seed_file(SEED)
    program.run("start", "--seed", seed)
    container = program.container()
    container.delete_blob("one.json")
    container.get_blob_client("junk.vhd").set_blob_metadata({"mine": "yes"})
    before = {blob.name: blob.etag for blob in container.list_blobs()}
    labs, keys = program.client.status()["labs"], program.client.status()["storageAccounts"]

    assert "already running" in program.run("start", "--seed", seed)
    assert {blob.name: blob.etag for blob in container.list_blobs()} == before
    assert (program.client.status()["labs"], program.client.status()["storageAccounts"]) == (labs, keys)


def test_an_interrupted_seed_is_done_again(program: Program) -> None:
    """A VHD that still carries the mark of its upload is uploaded anew."""
    seed = program.seed_file(SEED)
    program.run("start", "--seed", seed)
    whole = program.contents()["one.vhd"]
    half = program.container().get_blob_client("one.vhd")
    half.create_page_blob(64 * MIB + 512, metadata={"localcloudunfinished": "true"})
    program.run("start", "--seed", seed)
    assert program.contents()["one.vhd"] == whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labs": []}, "labs: Extra inputs are not permitted"),
        ({"storageAccounts": ["Not-A-Name"]}, "is not a storage account name"),
        ({"factoryImages": [{"lab": "nowhere", "vhd": "a.vhd", "sizeBytes": 64 * MIB}]}, "there is no such lab"),
        ({"factoryImages": [{"lab": "empty", "vhd": "a.vhd", "sizeBytes": 64 * MIB}]}, "has no storage account"),
        ({"factoryImages": [{"lab": "factory", "vhd": "a.vhd", "sizeBytes": MIB + 1}]}, "multiple of 1048576"),
        ({"factoryImages": [{"lab": "factory", "vhd": "a.vhd", "sizeBytes": 64 * MIB, "files": {"../a": ""}}]}, "../a"),
        (
            {"factoryImages": [{"lab": "factory", "vhd": "a.vhd", "sizeBytes": 64 * MIB, "companionBase64": "?"}]},
            "base64",
        ),
    ],
)
def test_a_wrong_seed_is_refused_whole(fresh_cloud: CloudClient, change: dict[str, Any], words: str) -> None:
    """The message names the place; nothing of the document is in force."""
    before = fresh_cloud.status()
    with pytest.raises(CloudError) as caught:
        fresh_cloud.seed({**SEED, **change})
    assert words in str(caught.value) and "nothing was seeded" in str(caught.value)
    assert fresh_cloud.status() == before


def test_a_wrong_seed_file_is_a_message_and_not_a_start(program: Program) -> None:
    """`serve` and `start` name the file and the place, and end with exit code 1."""
    file = program.seed_file({**SEED, "labs": []})
    for verb in ("serve", "start"):
        output = program.run(verb, "--seed", file, ok=False)
        assert f"error: {file}: labs: Extra inputs are not permitted" in output
    assert not is_locked(program.state)


@pytest.mark.parametrize(("content", "words"), [("{", "is not JSON"), (None, "cannot be read")])
def test_a_seed_file_that_is_none_is_refused_before_the_start(
    program: Program, content: str | None, words: str
) -> None:
    """Missing or broken: named with its path, and no cloud is started."""
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
def test_a_machine_that_cannot_be_is_not_seeded(change: dict[str, Any], words: str) -> None:
    """Each fault is named."""
    document = {"subscriptionId": SUBSCRIPTION, "labs": [lab(virtualMachines=[machine(**change)])]}
    with pytest.raises(SeedError, match=words):
        parse_seed({"subscriptions": [document]})
    twice = {"subscriptionId": SUBSCRIPTION, "labs": [lab(virtualMachines=[machine(), machine("WIN-A")])]}
    with pytest.raises(SeedError, match="same name"):
        parse_seed({"subscriptions": [twice]})


def test_the_documented_seed_is_a_good_one_and_its_actions_are_all() -> None:
    """The example of docs/development/embedded-cloud.md parses, and each row of its table of actions is an action."""
    text = (Checkout.here().root / "docs" / "development" / "embedded-cloud.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    document = parse_seed(json.loads(example))
    assert document.accounts() == ["factorystore", "webteamstore", "sparestore"]
    actions = [Action.model_validate_json(each) for each in re.findall(r"^\| `(\{.*\})` \|", text, re.MULTILINE)]
    assert set().union(*(each.model_fields_set for each in actions)) == set(Action.model_fields)
