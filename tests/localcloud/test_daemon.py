"""The embedded cloud as a program: start, seed, stop, be killed, start again; and who may talk to it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from imagefactory.vhd import footer_fault
from localcloud.client import CloudClient, CloudError
from localcloud.faults import Action
from localcloud.private_files import read_private
from localcloud.seed import parse_seed
from localcloud.state_lock import is_locked
from localcloud.toolchain.checkout import Checkout
from localcloud.toolchain.cloud import emulator_variables

MIB = 1024 * 1024
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
COMPANION = {"imageName": "Win2016_Datacenter-Jun-26-2020", "imagePath": "Win2016\\Datacenter.json"}
SEED: dict[str, Any] = {
    "subscriptions": [
        {
            "subscriptionId": SUBSCRIPTION,
            "labs": [
                {
                    "name": "Factory",
                    "resourceGroup": "factory",
                    "region": "westeurope",
                    "storageAccount": "factorystore",
                },
                {"name": "empty", "resourceGroup": "labs", "region": "westeurope", "storageAccount": None},
            ],
        }
    ],
    "factoryImages": [
        {
            "lab": "factory",
            "vhd": "one.vhd",
            "sizeBytes": 64 * MIB,
            "allocatedBytes": MIB,
            "files": {"etc/image": "one"},
            "metadata": {"imagename": "one"},
            "companion": COMPANION,
            "companionEncoding": "utf-16",
        },
        {"lab": "factory", "vhd": "unfinished.vhd", "sizeBytes": 64 * MIB, "companion": None},
        {
            "subscriptionId": SUBSCRIPTION.upper(),
            "lab": "factory",
            "vhd": "junk.vhd",
            "sizeBytes": 64 * MIB,
            "companionBase64": base64.b64encode(b"\x00junk").decode(),
        },
    ],
    "storageAccounts": ["sparestore"],
}


@dataclass
class Program:
    """`python -m localcloud` on one state folder."""

    state: Path
    environment: Mapping[str, str]
    serving: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def client(self) -> CloudClient:
        """The control API."""
        return CloudClient(self.state)

    def run(self, verb: str, *arguments: str | Path, ok: bool = True, **environment: str) -> str:
        """Run a verb to its end; its output (both streams)."""
        ended = subprocess.run(
            self._command(verb, *arguments),
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=100,
        )
        assert (ended.returncode == 0) is ok, ended.stdout
        assert "Traceback" not in ended.stdout
        return ended.stdout

    def serve(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Serve in the foreground of a process of its own."""
        process = subprocess.Popen(
            self._command("serve", *arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.serving.append(process)
        return process

    def seed_file(self, document: object) -> Path:
        """A seed file beside the state folder."""
        path = self.state.with_name("seed.json")
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    def container(self, name: str = "imagefactoryvhds", account: str = "factorystore") -> ContainerClient:
        """A container of an embedded account."""
        found = next(each for each in self.client.status()["storageAccounts"] if each["name"] == account)
        credential = {"account_name": account, "account_key": found["key"]}
        return BlobServiceClient(found["blobEndpoint"], credential, retry_total=0).get_container_client(name)

    def contents(self) -> dict[str, tuple[bytes, Mapping[str, str]]]:
        """Every blob of the factory's container: bytes and metadata."""
        container = self.container()
        return {
            blob.name: (container.download_blob(blob.name).readall(), blob.metadata)
            for blob in container.list_blobs(include=["metadata"])
        }

    def _command(self, verb: str, *arguments: str | Path) -> list[str]:
        given = [str(each) for each in arguments]
        return [sys.executable, "-m", "localcloud", verb, "--state", str(self.state), *given]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A state folder that does not exist yet; whatever runs on it at the end is stopped."""
    made = Program(tmp_path / "state", {**os.environ, **emulator_variables(Checkout.here())})
    yield made
    subprocess.run(made._command("stop"), env=made.environment, check=False, capture_output=True)
    for process in made.serving:
        process.kill()
        process.communicate()
    assert not is_locked(made.state)


def wait(until: Callable[[], object]) -> None:
    """Return as soon as it is so."""
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, "it did not come to pass within a minute"
        time.sleep(0.05)


def answers(client: CloudClient) -> bool:
    """Whether the cloud is ready."""
    try:
        return bool(client.status())
    except CloudError:
        return False


def test_a_seeded_factory_holds_what_the_document_says(program: Program) -> None:
    """Whole VHDs with their metadata, companions byte for byte, an unfinished save without one."""
    program.run("start", "--seed", program.seed_file(SEED))
    held = program.contents()
    assert set(held) == {"one.vhd", "one.json", "unfinished.vhd", "junk.vhd", "junk.json"}
    for name in ("one.vhd", "unfinished.vhd", "junk.vhd"):
        assert footer_fault(held[name][0][-512:], len(held[name][0])) is None
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


def test_everything_survives_a_stop_and_a_start(program: Program) -> None:
    """Blobs, keys, labs, latencies, identity and every URL; and a stopped cloud has left no process."""
    program.run("start", "--seed", program.seed_file({**SEED, "latencies": {"imageCreateSeconds": 1.5}}))
    before, status = program.contents(), program.client.status()
    shown = program.run("status")
    assert all(lab["subscriptionId"] in shown for lab in status["labs"]), "uncut"
    pid = status.pop("pid")

    program.run("stop")
    assert not is_locked(program.state)
    ended = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    assert ended.strip() in ("", "Z", "Zs")  # gone, or waiting for a parent that does not look
    assert program.run("status", ok=False).startswith("error: ")

    program.run("start")
    after = program.client.status()
    assert after.pop("pid") != pid
    assert after == status
    assert program.contents() == before
    assert program.client.latencies()["imageCreateSeconds"] == 1.5


def test_a_copy_that_is_pending_at_the_stop_goes_on_after_the_start(program: Program) -> None:
    """The service does not lose it: with progress while it takes, whole when its time is over."""
    program.run("start", "--seed", program.seed_file(SEED))
    rule = {"service": "blob", "path": "/slow", "action": {"copySeconds": 3600}}
    soon = {"service": "blob", "path": "/soon", "action": {"copySeconds": 2}}
    program.client.set_faults([rule, soon])
    container = program.container()
    source = container.get_blob_client("one.vhd")
    for name in ("slow.vhd", "soon.vhd"):
        container.get_blob_client(name).start_copy_from_url(source.url)

    program.run("stop")
    program.run("start")
    assert container.get_blob_client("slow.vhd").get_blob_properties().copy.status == "pending"
    wait(lambda: container.get_blob_client("soon.vhd").get_blob_properties().copy.status == "success")
    assert container.download_blob("soon.vhd").readall() == source.download_blob().readall()
    copy = container.get_blob_client("slow.vhd")
    copy.abort_copy(str(copy.get_blob_properties().copy.id))


def test_a_killed_daemon_takes_azurite_with_it_and_loses_no_blob(program: Program) -> None:
    """kill -9: Azurite notices, writes its databases and ends; the next start finds everything."""
    program.run("start", "--seed", program.seed_file(SEED))
    before = program.contents()
    os.kill(program.client.status()["pid"], signal.SIGKILL)
    wait(lambda: not is_locked(program.state))
    program.run("start")
    assert program.contents() == before


def test_the_daemon_ends_with_a_reason_when_azurite_does(program: Program) -> None:
    """A cloud without blobs does not go on as if it had some."""
    process = program.serve()
    wait(lambda: answers(program.client))
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    (azurite,) = children.stdout.split()
    os.kill(int(azurite), signal.SIGKILL)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "error: Azurite: it ended by itself" in output and "Traceback" not in output


def test_serve_ends_in_order_on_ctrl_c(program: Program) -> None:
    """SIGINT: saved, exit code 0, nothing left."""
    process = program.serve("--seed", program.seed_file(SEED))
    wait(lambda: answers(program.client))
    before = program.contents()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in output
    assert not is_locked(program.state)
    program.run("start")
    assert program.contents() == before


def test_in_memory_nothing_is_kept(program: Program) -> None:
    """Blobs and labs are gone after the end."""
    process = program.serve("--in-memory", "--seed", program.seed_file(SEED))
    wait(lambda: answers(program.client))
    assert len(program.contents()) == 5
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert list((program.state / "blobs").iterdir()) == []
    program.run("start")
    assert program.client.status()["labs"] == []


def test_a_state_folder_is_used_by_one_cloud_at_a_time(program: Program) -> None:
    """A second start says that it runs; a second serve refuses, and the first goes on."""
    program.run("start")
    pid = program.client.status()["pid"]
    assert "already running" in program.run("start")
    assert "another embedded cloud uses this state folder" in program.run("serve", ok=False)
    assert program.client.status()["pid"] == pid


def test_wanted_ports_are_taken_and_a_taken_port_is_named(program: Program) -> None:
    """The error says which port, and what to do."""
    with socket.socket() as other, socket.socket() as free:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        assert f"port {taken}: cannot be taken" in program.run("serve", "--arm-port", taken, ok=False)
        program.serve("--arm-port", port)
        wait(lambda: answers(program.client))
        assert program.client.status()["resourceManager"] == f"http://127.0.0.1:{port}"


def test_a_start_that_fails_shows_why(program: Program) -> None:
    """Without Node.js, without Azurite: the reason and the remedy, from the daemon's log."""
    assert "Node.js: not found" in program.run("start", ok=False, LOCALCLOUD_NODE="/nonexistent/node")
    assert "Azurite: not found" in program.run("start", ok=False, LOCALCLOUD_AZURITE="/nonexistent/main.js")
    (program.state / "arm.json").write_text("{", encoding="utf-8")
    assert "is not the saved state" in program.run("start", ok=False)
    (program.state / "arm.json").unlink()
    (program.state / "latencies.json").write_text('{"copySeconds": -1}', encoding="utf-8")
    assert "a saved file is broken" in program.run("start", ok=False)


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


def test_private_things_stay_private(program: Program) -> None:
    """Folder 0700, files 0600; no key and no signature in logs or process lists; loopback only."""
    program.run("start", "--seed", program.seed_file(SEED))
    program.contents()
    assert stat.S_IMODE(program.state.stat().st_mode) == 0o700
    for path in program.state.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    status = program.client.status()
    secrets = [each["key"] for each in status["storageAccounts"]] + [status["identityHeader"]]
    seen = (program.state / "daemon.log").read_text(encoding="utf-8")
    seen += subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout
    assert not [secret for secret in secrets if secret in seen]
    assert "sig=" not in (program.state / "daemon.log").read_text(encoding="utf-8")
    for port in read_private(program.state / "ports.json").values():
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(OSError):  # another address of this machine
            socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.parametrize("headers", [{"Host": "example.com"}, {"Origin": "http://127.0.0.1"}])
def test_the_control_api_answers_no_web_page(fresh_cloud: CloudClient, headers: dict[str, str]) -> None:
    """A foreign Host (DNS rebinding) or any Origin (a page in a browser) is refused, also for reading."""
    address = urlsplit(fresh_cloud.base_url).netloc
    for method, path in (("GET", "/local/status"), ("POST", "/local/seed"), ("DELETE", "/local/faults")):
        connection = http.client.HTTPConnection(address)
        connection.request(method, path, headers={"Host": address, **headers})
        answer = connection.getresponse()
        assert (answer.status, b"key" in answer.read()) == (403, False)
        connection.close()


def test_status_shows_endpoints_and_keys_only_with_json(program: Program) -> None:
    """The table is for people; --json gives what a program needs to get in."""
    program.run("start", "--seed", program.seed_file(SEED))
    document = json.loads(program.run("status", "--json"))
    assert document == program.client.status()
    (factory,) = [each for each in document["storageAccounts"] if each["name"] == "factorystore"]
    assert factory["id"].endswith("/resourceGroups/factory/providers/Microsoft.Storage/storageAccounts/factorystore")
    (spare,) = [each for each in document["storageAccounts"] if each["name"] == "sparestore"]
    assert spare["id"] is None and base64.b64decode(spare["key"])
    table = program.run("status")
    assert "Factory" in table and "sparestore" in table and document["resourceManager"] in table
    assert factory["key"] not in table


def test_the_journal_and_the_rules_span_both_services(program: Program) -> None:
    """ARM calls are noted and struck as blob calls are; the control API itself is not."""
    program.run("start", "--seed", program.seed_file(SEED))
    client, status = program.client, program.client.status()
    path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.DevTestLab/labs?api-version=2018-09-15&x={uuid.uuid4()}"
    client.set_faults([{"service": "arm", "path": "labs", "times": 1, "action": {"status": 429, "retryAfter": 3}}])
    client.clear_calls()
    seen = []
    for _ in range(2):
        connection = http.client.HTTPConnection(urlsplit(status["resourceManager"]).netloc)
        connection.request("GET", path)
        seen.append(connection.getresponse().status)
        connection.close()
    assert seen == [429, 401]
    calls = client.calls()
    assert calls == [
        {"service": "arm", "method": "GET", "path": path, "status": number, "at": call["at"]}
        for number, call in zip((429, 401), calls, strict=True)
    ]
    assert calls[0]["at"] <= calls[1]["at"]
    client.clear_calls()
    assert client.calls() == []


def test_the_documented_seed_is_a_good_one_and_its_actions_are_all() -> None:
    """The example of docs/embedded-cloud.md parses, and each row of its table of actions is an action."""
    text = (Checkout.here().root / "docs" / "embedded-cloud.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    document = parse_seed(json.loads(example))
    assert document.accounts() == ["factorystore", "webteamstore", "sparestore"]
    actions = [Action.model_validate_json(each) for each in re.findall(r"^\| `(\{.*\})` \|", text, re.MULTILINE)]
    assert set().union(*(each.model_fields_set for each in actions)) == set(Action.model_fields)
