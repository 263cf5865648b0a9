"""The Pulumi engine and its Python language host.

Uses `pulumi` on the PATH with its official language host, else the official download, else a build from the Go module
proxy. Keeps downloads and builds in the cache. A build has no language host, so this checkout's own
(toolchain.languagehost) is put beside it. Does not accept engines older than the locked Python SDK: both are released
together, with one version.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from toolchain.checkout import Checkout, cache_folder
from toolchain.errors import SetupError
from toolchain.processes import printed, run_quietly
from toolchain.progress import Step, say
from toolchain.setup.cache import digest, install_once
from toolchain.setup.environment import locked_version
from toolchain.setup.wheels import install_wheel

HOST = "pulumi-language-python"
SDK = "pulumi"
"""The Python package."""
COMMAND = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
DOWNLOADS = "https://get.pulumi.com/install.sh"
"""The first request of the Automation API's installer."""
REACH_SECONDS = 5.0
"""Timeout for the check that the download site can be reached."""

_DOWNLOAD = """\
import sys
from pulumi.automation import PulumiCommand
PulumiCommand.install(root=sys.argv[1])
"""


@dataclass(frozen=True)
class Engine:
    """A usable engine: `bin` contains `pulumi`; the language host is also there, or on the PATH."""

    bin: Path
    origin: str


def ensure_engine(checkout: Checkout, *, path: str | None = None) -> Engine:
    """Return the engine on `path` (default: PATH), else download it, else build it. Needs the environment.

    Raises SetupError with the reasons why all three ways failed.
    """
    reasons: list[str] = []
    path = os.environ.get("PATH", os.defpath) if path is None else path
    # After a build, no run tries the download again.
    built = _built(checkout).is_dir() and not _downloaded(checkout).is_dir()
    for way in (_on_path, _build) if built else (_on_path, _download, _build):
        try:
            return way(checkout, path)
        except SetupError as error:
            reasons.append(error.with_output())
    raise SetupError(
        "Pulumi engine",
        "is not usable from the PATH, by download or by build; no stack can run",
        "Fix one of these:\n- " + "\n- ".join(reasons),
    )


def built_version(checkout: Checkout) -> str:
    """Return the version that is built, such as `3.274.1`."""
    text = (checkout.root / "toolchain" / "setup" / "engine_build" / "go.mod").read_text("utf-8")
    match = re.search(r"^\s*(?:require )?github\.com/pulumi/pulumi/pkg/v3 v(\S+)", text, re.MULTILINE)
    if match is None:
        raise SetupError("toolchain/setup/engine_build/go.mod", "does not require pulumi", "Restore it from git")
    return match[1]


def _version(binary: Path | str) -> str:
    """Return what `pulumi version` prints, without the `v`; empty if it fails."""
    return printed([binary, "version"], PULUMI_SKIP_UPDATE_CHECK="true").removeprefix("v")


def _at_least(version: str, least: str) -> bool:
    numbers = [tuple(int(part) for part in re.findall(r"\d+", text)[:3]) for text in (version, least)]
    return numbers[0] >= numbers[1]


def _on_path(checkout: Checkout, path: str) -> Engine:
    # In a shell with the variables of `dev.py env`, the PATH starts with this checkout's own engine.
    folders = [folder for folder in path.split(os.pathsep) if folder and Path(folder) != checkout.bin]
    path = os.pathsep.join(folders)
    found = shutil.which("pulumi", path=path)
    install = "Install the pulumi CLI with its Python language host"
    if found is None:
        raise SetupError("pulumi", "not on the PATH", install)
    version, least = _version(found), locked_version(checkout, SDK)
    if not _at_least(version, least):
        raise SetupError(found, f"is version {version or 'unknown'}, but {least} or newer is needed", install)
    beside = Path(found).resolve().with_name(HOST)
    if not os.access(beside, os.X_OK) and shutil.which(HOST, path=path) is None:
        raise SetupError(found, f"{HOST} is neither beside it nor on the PATH", install)
    return Engine(Path(found).parent, f"{found} {version}")


def _download(checkout: Checkout, path: str) -> Engine:
    def make(folder: Path) -> None:
        _reach(DOWNLOADS)
        with Step("Download the Pulumi engine") as step:
            run_quietly(
                step,
                [checkout.python, "-c", _DOWNLOAD, folder],
                remedy="Check the connection to the download site, or install the pulumi CLI",
            )

    place = install_once(_downloaded(checkout), make)
    return Engine(place / "bin", f"official download {_version(place / 'bin' / 'pulumi')}")


def _downloaded(checkout: Checkout) -> Path:
    # The installer takes the version of the SDK that calls it.
    return cache_folder() / f"pulumi-{locked_version(checkout, SDK)}-official"


def _reach(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=REACH_SECONDS):  # noqa: S310 - a constant https URL
            pass
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        raise SetupError(
            "official download of pulumi",
            f"{url} cannot be reached ({reason})",
            "Allow access to it, or install the pulumi CLI",
        ) from error


def _build(checkout: Checkout, path: str) -> Engine:
    source = checkout.root / "toolchain" / "setup" / "engine_build"
    version = built_version(checkout)

    def make(folder: Path) -> None:
        go = _go(checkout, path)
        say(
            f"Building the Pulumi engine {version} from source, because it is neither installed nor downloadable. "
            "This happens once and takes about 5 minutes on 2 cores."
        )
        with Step("Build the Pulumi engine") as step:
            run_quietly(
                step,
                [
                    *(go, "build", "-v", "-o", folder / "pulumi"),
                    *("-ldflags", f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}"),
                    COMMAND,
                ],
                cwd=source,
                env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"},
                remedy="Check that go can reach its module proxy (go env GOPROXY), or install the pulumi CLI",
            )
        if (built := _version(folder / "pulumi")) != version:
            raise SetupError(
                "build of pulumi",
                f"has version {built or 'unknown'} instead of {version}",
                "Report this, and install the pulumi CLI",
            )

    _fill_bin(checkout, install_once(_built(checkout), make) / "pulumi")
    return Engine(checkout.bin, f"built from source, {version}")


def _built(checkout: Checkout) -> Path:
    source = checkout.root / "toolchain" / "setup" / "engine_build"
    key = digest(source / "go.mod", source / "go.sum")
    machine = f"{platform.system()}-{platform.machine()}".lower()
    return cache_folder() / f"pulumi-{built_version(checkout)}-{key}-{machine}"


def _go(checkout: Checkout, path: str) -> Path:
    """Return the Go on `path` if it is new enough for the module, else that of its wheel."""
    least = re.search(
        r"^go (\S+)", (checkout.root / "toolchain/setup/engine_build/go.mod").read_text("utf-8"), re.MULTILINE
    )
    found = shutil.which("go", path=path)
    if found and least:
        version = printed([found, "env", "GOVERSION"], GOTOOLCHAIN="local").removeprefix("go")
        if version and _at_least(version, least[1]):
            return Path(found)
    return install_wheel(checkout, "go", "Install Go") / "go" / "bin" / "go"


def _fill_bin(checkout: Checkout, binary: Path) -> None:
    """Put the shared engine and this checkout's language host into the checkout's bin folder.

    The engine follows symbolic links before it looks for hosts beside itself, so it must be a hard link or a copy.
    """
    checkout.bin.mkdir(parents=True, exist_ok=True)
    own = checkout.bin / "pulumi"
    if not own.exists() or not (own.samefile(binary) or _same_copy(own, binary)):
        temporary = own.with_name("pulumi.unfinished")
        temporary.unlink(missing_ok=True)
        try:
            os.link(binary, temporary)
        except OSError:
            shutil.copy2(binary, temporary)
        temporary.replace(own)
    script = checkout.bin / HOST
    host = checkout.root / "toolchain" / "languagehost"
    text = f'#!/bin/sh\nexec {shlex.quote(str(checkout.python))} {shlex.quote(str(host))} "$@"\n'
    if not script.exists() or script.read_text("utf-8") != text:
        script.write_text(text, "utf-8")
    script.chmod(0o755)


def _same_copy(own: Path, binary: Path) -> bool:
    ours, theirs = own.stat(), binary.stat()
    return (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)
