"""The Pulumi CLI and its plugin in the pipeline: only archives whose checksum the repository holds are installed.

The script runs as it is; the publisher's servers are played by one on this machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.command_lines import ROOT, commands, unknown_words

SCRIPT = ROOT / "pipelines" / "pulumi.sh"
LOCK = (ROOT / "requirements.txt").read_text("utf-8")
CLI_VERSION, PLUGIN_VERSION = re.findall(r"^pulumi(?:-azure-native)?==(\S+)", LOCK, re.MULTILINE)
CLI = f"pulumi-v{CLI_VERSION}-linux-x64.tar.gz"
PLUGIN = f"pulumi-resource-azure-native-v{PLUGIN_VERSION}-linux-amd64.tar.gz"
CLI_SUMS, PLUGIN_SUMS = f"pulumi-{CLI_VERSION}-checksums.txt", f"pulumi-azure-native_{PLUGIN_VERSION}_checksums.txt"


def archive(path: str, content: str) -> bytes:
    """A tar.gz with one program in it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        member = tarfile.TarInfo(path)
        member.mode, member.size = 0o755, len(content)
        tar.addfile(member, io.BytesIO(content.encode()))
    return stream.getvalue()


@dataclass
class Publisher:
    """The files of a release, and a checkout whose pipeline downloads them."""

    checkout: Path
    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def recorded(self) -> Path:
        """The file of checksums of the checkout."""
        return self.checkout / "pipelines" / "checksums.txt"

    @property
    def calls(self) -> list[str]:
        """How the installed CLI was called."""
        file = self.checkout / "calls"
        return file.read_text("utf-8").splitlines() if file.exists() else []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The script, whose downloads all come here."""
        (self.checkout / ".curlrc").write_text(f'insecure\nconnect-to = "::127.0.0.1:{self.port}"\n', "utf-8")
        environment = {**os.environ, "CURL_HOME": os.fspath(self.checkout), "HOME": os.fspath(self.checkout)}
        environment = {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}
        command = [os.fspath(self.checkout / "pipelines" / "pulumi.sh"), *arguments]
        return subprocess.run(
            command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def install(self) -> subprocess.CompletedProcess[str]:
        """Into the folder `tools`."""
        return self.run("install", os.fspath(self.checkout / "tools"))


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    """A release as it is published, and a checkout that has recorded nothing."""
    (tmp_path / "pipelines").mkdir()
    shutil.copy(SCRIPT, tmp_path / "pipelines")
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    publisher = Publisher(tmp_path)
    publisher.recorded.touch()
    publisher.files[CLI] = archive("pulumi/pulumi", f'#!/bin/sh\necho "$@" >>"{tmp_path}/calls"\n')
    publisher.files[PLUGIN] = archive("pulumi-resource-azure-native", "#!/bin/sh\n")
    for sums, name, digest in ((CLI_SUMS, CLI, "sha256"), (PLUGIN_SUMS, PLUGIN, "sha1")):
        told = hashlib.new(digest, publisher.files[name]).hexdigest()
        publisher.files[sums] = f"{'0' * len(told)}  other.tar.gz\n{told}  {name}\n".encode()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = publisher.files.get(self.path.rpartition("/")[2])
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate(tmp_path))
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    publisher.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield publisher
    server.shutdown()
    thread.join()
    server.server_close()


def certificate(folder: Path) -> Path:
    """Of a server that nobody vouches for."""
    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(timezone.utc)
    day = timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "certificate.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


def test_what_was_recorded_is_installed(publisher: Publisher) -> None:
    """The CLI where it is wanted, the plugin by it, from the archive that was compared."""
    assert publisher.run("record").returncode == 0
    lines = [f"{hashlib.sha256(publisher.files[name]).hexdigest()}  {name}" for name in (CLI, PLUGIN)]
    assert publisher.recorded.read_text("utf-8").splitlines() == lines
    done = publisher.install()
    assert (done.returncode, done.stderr) == (0, "")
    (call,) = publisher.calls
    assert call.startswith(f"plugin install resource azure-native {PLUGIN_VERSION} --exact --file ")
    assert call.endswith(f"/{PLUGIN}")


@pytest.mark.parametrize("changed", [CLI, PLUGIN])
def test_another_archive_than_the_recorded_one_is_not_installed(publisher: Publisher, changed: str) -> None:
    """Neither of the two then, and the reason is one line that names it."""
    assert publisher.run("record").returncode == 0
    publisher.files[changed] += b"changed"
    done = publisher.install()
    assert done.returncode == 1 and not publisher.calls and not (publisher.checkout / "tools").exists()
    assert done.stderr.startswith(f"{changed}: its checksum differs") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", [CLI, PLUGIN])
def test_an_archive_without_a_checksum_is_not_installed(publisher: Publisher, missing: str) -> None:
    """As after a new version was locked; the line says what to run."""
    assert publisher.run("record").returncode == 0
    lines = publisher.recorded.read_text("utf-8").splitlines()
    publisher.recorded.write_text("\n".join(line for line in lines if not line.endswith(missing)), "utf-8")
    done = publisher.install()
    assert done.returncode == 1 and not publisher.calls and not (publisher.checkout / "tools").exists()
    assert done.stderr.startswith(f"{missing}: ") and done.stderr.count("\n") == 1
    assert "Run pipelines/pulumi.sh record" in done.stderr


@pytest.mark.parametrize("file", [CLI, PLUGIN, CLI_SUMS, PLUGIN_SUMS])
def test_nothing_is_recorded_that_the_publisher_does_not_confirm(publisher: Publisher, file: str) -> None:
    """An archive that differs from its publisher's checksum, or a file without one, or one that is not there."""
    whole = publisher.files[file]
    for content in (whole + b"changed" if file in (CLI, PLUGIN) else b"none\n", None):
        publisher.files[file] = content or b""
        if content is None:
            del publisher.files[file]
        done = publisher.run("record")
        assert done.returncode != 0 and done.stderr
        assert publisher.recorded.read_text("utf-8") == ""


def test_the_script_uses_only_words_that_pulumi_knows() -> None:
    """And the repository records nothing but checksums of the locked versions."""
    found = [command for command in commands(SCRIPT.read_text("utf-8")) if command[0] == "pulumi"]
    assert [command[1] for command in found] == ["plugin"]
    assert [unknown_words(command) for command in found] == [[]]
    recorded = (ROOT / "pipelines" / "checksums.txt").read_text("utf-8").splitlines()
    assert {line.partition("  ")[2] for line in recorded} <= {CLI, PLUGIN}
