"""The embedded cloud as a program: start, stop, kill, restart; and which programs it serves."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import uuid
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest

from localcloud.client import CloudClient
from localcloud.private_files import read_private
from localcloud.state_lock import is_locked
from tests.localcloud.cloud_program import SEED, SUBSCRIPTION, Program, answers, wait


def test_all_state_survives_a_stop_and_a_start(program: Program) -> None:
    """Blobs, keys, labs, latencies, identity and every URL; and after the stop no process is left.

    A copy that is pending at the stop continues after the start: it shows progress while it is pending, and is complete
    when due.
    """
    program.run("start", "--seed", program.seed_file({**SEED, "latencies": {"imageCreateSeconds": 1.5}}))
    before, status = program.contents(), program.client.status()
    shown = program.run("status")
    assert all(lab["subscriptionId"] in shown for lab in status["labs"]), "uncut"
    pid = status.pop("pid")
    rule = {"service": "blob", "path": "/slow", "action": {"copySeconds": 3600}}
    soon = {"service": "blob", "path": "/soon", "action": {"copySeconds": 2}}
    program.client.set_faults([rule, soon])
    source, copies = program.container().get_blob_client("one.vhd"), program.container("copies")
    copies.create_container()
    for name in ("slow.vhd", "soon.vhd"):
        copies.get_blob_client(name).start_copy_from_url(source.url)

    program.run("stop")
    assert not is_locked(program.state)
    ended = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    assert ended[:1] in ("", "Z")  # exited, or a zombie until its parent waits for it
    assert program.run("status", ok=False).startswith("error: ")

    program.run("start")
    after = program.client.status()
    assert after.pop("pid") != pid
    assert after == status
    assert program.contents() == before
    assert program.client.latencies()["imageCreateSeconds"] == 1.5
    assert copies.get_blob_client("slow.vhd").get_blob_properties().copy.status == "pending"
    wait(lambda: copies.get_blob_client("soon.vhd").get_blob_properties().copy.status == "success")
    assert copies.download_blob("soon.vhd").readall() == before["one.vhd"][0]
    copy = copies.get_blob_client("slow.vhd")
    copy.abort_copy(str(copy.get_blob_properties().copy.id))


def test_secrets_are_private_and_a_killed_daemon_loses_no_blob(program: Program) -> None:
    """Folder 0700, files 0600; no key or signature in logs or process lists; loopback only.

    After kill -9 Azurite writes its databases and exits; the next start finds all blobs.
    """
    program.run("start", "--seed", program.seed_file(SEED))
    before = program.contents()
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

    os.kill(program.client.status()["pid"], signal.SIGKILL)
    wait(lambda: not is_locked(program.state))
    program.run("start")
    assert program.contents() == before


def test_requested_ports_are_used_and_the_daemon_exits_with_a_reason_when_azurite_does(program: Program) -> None:
    """The error about a busy port names it and the remedy. Without Azurite the daemon does not continue."""
    with socket.socket() as other, socket.socket() as free:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        assert f"port {taken}: cannot bind" in program.run("serve", "--arm-port", taken, ok=False)
        process = program.serve("--arm-port", port)
        wait(lambda: answers(program.client))
        assert program.client.status()["resourceManager"] == f"http://127.0.0.1:{port}"
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    (azurite,) = children.stdout.split()
    os.kill(int(azurite), signal.SIGKILL)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "error: Azurite: exited unexpectedly" in output and "Traceback" not in output


def test_status_shows_keys_only_with_json_and_serve_stops_cleanly_on_ctrl_c(program: Program) -> None:
    """The table has no keys; --json has the keys and endpoints that a program needs.

    SIGINT: the state is saved, the exit code is 0, and no process is left.
    """
    process = program.serve("--seed", program.seed_file(SEED))
    wait(lambda: answers(program.client))
    before = program.contents()
    document = json.loads(program.run("status", "--json"))
    assert document == program.client.status()
    (factory,) = [each for each in document["storageAccounts"] if each["name"] == "factorystore"]
    assert factory["id"].endswith("/resourceGroups/factory/providers/Microsoft.Storage/storageAccounts/factorystore")
    (spare,) = [each for each in document["storageAccounts"] if each["name"] == "sparestore"]
    assert spare["id"] is None and base64.b64decode(spare["key"])
    table = program.run("status")
    assert "Factory" in table and "sparestore" in table and document["resourceManager"] in table
    assert factory["key"] not in table

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in output
    assert not is_locked(program.state)
    program.run("start")
    assert program.contents() == before


def test_in_memory_nothing_is_kept_and_a_folder_is_used_by_one_cloud_at_a_time(program: Program) -> None:
    """Blobs and labs no longer exist after the stop.

    A second start reports that the cloud is running; a second serve fails, and the first one continues.
    """
    program.run("start", "--in-memory", "--seed", program.seed_file(SEED))
    assert len(program.contents()) == 5
    program.run("stop")
    assert not (program.state / "arm.json").exists()
    assert list((program.state / "blobs").iterdir()) == []
    program.run("start")
    status = program.client.status()
    assert status["labs"] == []
    assert "already running" in program.run("start")
    assert "another embedded cloud uses this state folder" in program.run("serve", ok=False)
    assert program.client.status()["pid"] == status["pid"]


def test_a_start_that_fails_shows_the_reason(program: Program) -> None:
    """Without Node.js or Azurite, it shows reason and remedy from the daemon's log."""
    assert "Node.js: not found" in program.run("start", ok=False, LOCALCLOUD_NODE="/nonexistent/node")
    assert "Azurite: not found" in program.run("start", ok=False, LOCALCLOUD_AZURITE="/nonexistent/main.js")
    (program.state / "arm.json").write_text("{", encoding="utf-8")
    assert "is not the saved state" in program.run("start", ok=False)
    (program.state / "arm.json").unlink()
    (program.state / "latencies.json").write_text('{"copySeconds": -1}', encoding="utf-8")
    assert "contains a broken file" in program.run("start", ok=False)


@pytest.mark.parametrize("headers", [{"Host": "example.com"}, {"Origin": "http://127.0.0.1"}])
def test_the_control_api_rejects_web_pages(fresh_cloud: CloudClient, headers: dict[str, str]) -> None:
    """It rejects a foreign Host (DNS rebinding) and any Origin (a page in a browser), even for reading."""
    address = urlsplit(fresh_cloud.base_url).netloc
    for method, path in (("GET", "/local/status"), ("POST", "/local/seed"), ("DELETE", "/local/faults")):
        connection = http.client.HTTPConnection(address)
        connection.request(method, path, headers={"Host": address, **headers})
        answer = connection.getresponse()
        assert (answer.status, b"key" in answer.read()) == (403, False)
        connection.close()


def test_the_journal_and_the_rules_span_both_services(fresh_cloud: CloudClient) -> None:
    """They apply to ARM calls as to blob calls, but not to the control API."""
    client, status = fresh_cloud, fresh_cloud.status()
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
        {
            "service": "arm",
            "method": "GET",
            "path": path,
            "status": number,
            "at": call["at"],
            "offset": None,
            "length": None,
            "source": "",
        }
        for number, call in zip((429, 401), calls, strict=True)
    ]
    assert calls[0]["at"] <= calls[1]["at"]
    client.clear_calls()
    assert client.calls() == []


def test_a_reset_undoes_all_changes_that_no_seed_made(fresh_cloud: CloudClient) -> None:
    """Rules, latencies, sign-in and journal are those of a cloud that was just started."""
    client, status = fresh_cloud, fresh_cloud.status()
    host, path = urlsplit(status["resourceManager"]).netloc, f"/subscriptions/{SUBSCRIPTION}/resourceGroups"
    defaults = client.latencies()
    client.set_faults([{"service": "blob", "path": "x", "action": {"status": 429}}])
    client.set_latencies({"imageCreateSeconds": 9.5})
    client.set_sign_in(clock_ahead_seconds=7200)

    def clock() -> datetime:
        connection = http.client.HTTPConnection(host)
        connection.request("GET", f"{path}?api-version=2021-04-01")
        answer = connection.getresponse()
        connection.close()
        return parsedate_to_datetime(answer.headers["Date"])

    ahead = clock()
    assert client.calls()
    client.reset()
    assert (client.faults(), client.latencies(), client.calls()) == ([], defaults, [])
    assert clock() < ahead - timedelta(hours=1)
