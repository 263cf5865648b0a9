"""The Pulumi CLI and its plugin in the pipeline: only archives with a checksum in the repository are installed.

Runs the real script; a server on this machine replaces those of the publisher.
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
    """Return a tar.gz with one program."""
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
        """The checkout's file of checksums."""
        return self.checkout / "pipelines" / "checksums.txt"

    @property
    def calls(self) -> list[str]:
        """The arguments of each call of the installed CLI."""
        file = self.checkout / "calls"
        return file.read_text("utf-8").splitlines() if file.exists() else []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script; all of its downloads reach this server."""
        (self.checkout / ".curlrc").write_text(f'insecure\nconnect-to = "::127.0.0.1:{self.port}"\n', "utf-8")
        environment = {**os.environ, "CURL_HOME": os.fspath(self.checkout), "HOME": os.fspath(self.checkout)}
        environment = {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}
        command = [os.fspath(self.checkout / "pipelines" / "pulumi.sh"), *arguments]
        return subprocess.run(
            command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def install(self) -> subprocess.CompletedProcess[str]:
        """Install into the folder `tools`."""
        return self.run("install", os.fspath(self.checkout / "tools"))


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    """A published release, and a checkout without recorded checksums."""
    (tmp_path / "pipelines").mkdir()
    shutil.copy(SCRIPT, tmp_path / "pipelines")
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    publisher = Publisher(tmp_path)
    publisher.recorded.touch()
    publisher.files[CLI] = archive("pulumi/pulumi", f'#!/bin/sh\necho "$@" >>"{tmp_path}/calls"\n')
    publisher.files[PLUGIN] = archive("pulumi-resource-azure-native", "#!/bin/sh\n")
    for sums, name, digest in ((CLI_SUMS, CLI, "sha256"), (PLUGIN_SUMS, PLUGIN, "sha1")):
        checksum = hashlib.new(digest, publisher.files[name]).hexdigest()
        publisher.files[sums] = f"{'0' * len(checksum)}  other.tar.gz\n{checksum}  {name}\n".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = publisher.files.get(self.path.rpartition("/")[2])
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
    """Create a self-signed certificate with its key."""
    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(timezone.utc)
    day = timedelta(days=1)
    signed = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "certificate.pem"
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return file


def test_archives_with_recorded_checksums_are_installed(publisher: Publisher) -> None:
    """The CLI into the given folder; the CLI installs the plugin from the verified archive."""
    assert publisher.run("record").returncode == 0
    lines = [f"{hashlib.sha256(publisher.files[name]).hexdigest()}  {name}" for name in (CLI, PLUGIN)]
    assert publisher.recorded.read_text("utf-8").splitlines() == lines
    done = publisher.install()
    assert (done.returncode, done.stderr) == (0, "")
    (call,) = publisher.calls
    assert call.startswith(f"plugin install resource azure-native {PLUGIN_VERSION} --exact --file ")
    assert call.endswith(f"/{PLUGIN}")


@pytest.mark.parametrize("changed", [CLI, PLUGIN])
def test_an_archive_with_another_checksum_is_not_installed(publisher: Publisher, changed: str) -> None:
    """Nor is the other archive; the error is one line with its name."""
    assert publisher.run("record").returncode == 0
    publisher.files[changed] += b"changed"
    done = publisher.install()
    assert done.returncode == 1 and not publisher.calls and not (publisher.checkout / "tools").exists()
    assert done.stderr.startswith(f"{changed}: its checksum differs") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", [CLI, PLUGIN])
def test_an_archive_without_a_checksum_is_not_installed(publisher: Publisher, missing: str) -> None:
    """As after an update of the lock; the error names the command to run."""
    assert publisher.run("record").returncode == 0
    lines = publisher.recorded.read_text("utf-8").splitlines()
    publisher.recorded.write_text("\n".join(line for line in lines if not line.endswith(missing)), "utf-8")
    done = publisher.install()
    assert done.returncode == 1 and not publisher.calls and not (publisher.checkout / "tools").exists()
    assert done.stderr.startswith(f"{missing}: ") and done.stderr.count("\n") == 1
    assert "Run pipelines/pulumi.sh record" in done.stderr


@pytest.mark.parametrize("file", [CLI, PLUGIN, CLI_SUMS, PLUGIN_SUMS])
def test_only_checksums_that_the_publisher_confirms_are_recorded(publisher: Publisher, file: str) -> None:
    """Not if an archive differs from the publisher's checksum, if that is missing, or if a file is missing."""
    published = publisher.files[file]
    for content in (published + b"changed" if file in (CLI, PLUGIN) else b"none\n", None):
        publisher.files[file] = content or b""
        if content is None:
            del publisher.files[file]
        done = publisher.run("record")
        assert done.returncode != 0 and done.stderr
        assert publisher.recorded.read_text("utf-8") == ""


def test_the_script_uses_only_commands_and_options_that_pulumi_has() -> None:
    """And the repository contains only checksums of the locked versions."""
    found = [command for command in commands(SCRIPT.read_text("utf-8")) if command[0] == "pulumi"]
    assert [command[1] for command in found] == ["plugin"]
    assert [unknown_words(command) for command in found] == [[]]
    recorded = (ROOT / "pipelines" / "checksums.txt").read_text("utf-8").splitlines()
    assert {line.partition("  ")[2] for line in recorded} <= {CLI, PLUGIN}
