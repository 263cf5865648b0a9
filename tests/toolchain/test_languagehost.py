"""The language host with the real engine: how it runs programs and providers from source."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.toolchain.tools import exits
from toolchain.checkout import Checkout
from toolchain.languagehost import processes
from toolchain.languagehost.environments import Environment, PythonEnvironmentError
from toolchain.setup.engine import HOST, Engine, ensure_engine
from toolchain.setup.environment import locked_version
from toolchain.shell import tool_variables

pytestmark = pytest.mark.engine
TINY_PROVIDER = Path(__file__).with_name("tinyprovider")


@pytest.fixture(scope="session")
def engine() -> Engine:
    return ensure_engine(Checkout.here())


@dataclass
class Project:
    """A Pulumi project with a stack `t`, run by the real engine."""

    folder: Path
    engine: Engine
    env: dict[str, str]

    def write(self, program: str, options: str | None = None, providers: str = "") -> None:
        options = options or f"    toolchain: pip\n    virtualenv: {Checkout.here().venv}\n"
        (self.folder / "Pulumi.yaml").write_text(
            f"name: tiny\nruntime:\n  name: python\n  options:\n{options}{providers}"
        )
        (self.folder / "__main__.py").write_text(program)

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.engine.bin / "pulumi"), *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    def up(self) -> subprocess.CompletedProcess[str]:
        return self.pulumi("up", "--yes", "--stack", "t", "--skip-preview", "--suppress-progress")


@pytest.fixture
def project(tmp_path: Path, engine: Engine) -> Project:
    folder = tmp_path / "a project"
    folder.mkdir()
    (tmp_path / "stacks").mkdir()
    env = {
        **os.environ,
        **tool_variables(Checkout.here(), engine),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'stacks'}",
    }
    result = Project(folder, engine, env)
    result.write("")
    created = result.pulumi("stack", "init", "t")
    assert created.returncode == 0, created.stderr
    return result


def wait_for(path: Path, process: subprocess.Popen[str]) -> str:
    """Return the content of a file that another process writes and then renames."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return path.read_text("utf-8")


def test_program_runs_in_the_projects_environment_with_its_configuration_and_secrets(project: Project) -> None:
    """As Pulumi documents it: environment, settings, names, imports and output."""
    project.write(
        "import sys, pulumi\n"
        "config = pulumi.Config()\n"
        "pulumi.export('plain', config.require('plain'))\n"
        "pulumi.export('hidden', config.require('hidden'))\n"
        "pulumi.export('is_secret', config.require_secret('hidden').is_secret())\n"
        "pulumi.export('prefix', sys.prefix)\n"
        "pulumi.export('names', [pulumi.get_project(), pulumi.get_stack(), pulumi.get_organization()])\n"
        "pulumi.export('preview', pulumi.runtime.is_dry_run())\n"
        "import sibling\n"
        "print('a line of the program')\n"
    )
    (project.folder / "sibling.py").write_text("")
    assert project.pulumi("config", "set", "plain", "open text", "--stack", "t").returncode == 0
    assert project.pulumi("config", "set", "hidden", "s3cret words", "--secret", "--stack", "t").returncode == 0
    result = project.up()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "a line of the program" in result.stdout
    outputs = json.loads(project.pulumi("stack", "output", "--json", "--stack", "t", "--show-secrets").stdout)
    assert outputs == {
        "plain": "open text",
        "hidden": "s3cret words",
        "is_secret": True,
        "prefix": str(Checkout.here().venv),
        "names": ["tiny", "t", "organization"],
        "preview": False,
    }


def test_a_run_error_fails_the_run_without_a_traceback(project: Project) -> None:
    """Programs raise `RunError` to stop with a message."""
    project.write("import pulumi\nraise pulumi.RunError('labs.json: is empty')\n")
    result = project.up()
    assert result.returncode != 0
    assert "error: labs.json: is empty" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_the_traceback_of_an_exception_has_only_frames_of_the_program(project: Project) -> None:
    """And the error is printed once."""
    project.write("def find():\n    return {}['no such key']\n\nfind()\n")
    result = project.up()
    assert result.returncode != 0
    assert "KeyError: 'no such key'" in result.stdout
    assert "in find" in result.stdout
    assert "runpy" not in result.stdout and "languagehost" not in result.stdout
    assert "an unhandled error occurred" not in result.stdout, "the error was already printed"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys\nsys.exit(7)\n", "Program exited with non-zero exit code: 7"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "Program was killed by signal SIGKILL"),
    ],
)
def test_a_program_that_exits_early_fails_the_run_with_the_reason(project: Project, program: str, words: str) -> None:
    """An exit code or a signal."""
    project.write(program)
    result = project.up()
    assert result.returncode != 0
    assert words in result.stdout


def test_a_folder_without_a_program_is_an_error(project: Project) -> None:
    """It names the missing file, without a traceback."""
    (project.folder / "__main__.py").unlink()
    result = project.up()
    assert result.returncode != 0
    assert "has no __main__.py" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("    toolchain: poetry\n", "toolchain: 'poetry' is not supported"),
        ("    virtualenv: nowhere\n", "nowhere: is not a Python environment"),
    ],
)
def test_an_unusable_environment_is_an_error_without_a_traceback(project: Project, options: str, words: str) -> None:
    """An unsupported toolchain, and a folder that is not an environment."""
    project.write("", options)
    result = project.up()
    assert result.returncode != 0
    text = " ".join((result.stdout + result.stderr).split())
    assert words in text
    assert "Traceback" not in text


PROVIDERS = f"plugins:\n  providers:\n    - name: tiny\n      path: {TINY_PROVIDER}\n"
THING = """\
import pulumi

class Thing(pulumi.CustomResource):
    pid: pulumi.Output[str]
    python: pulumi.Output[str]
    folder: pulumi.Output[str]

    def __init__(self, name, **inputs):
        super().__init__("tiny:index:Thing", name, {"pid": None, "python": None, "folder": None, **inputs})
"""


def test_a_provider_from_source_runs_in_its_own_environment_and_exits_with_the_engine(project: Project) -> None:
    """In a second run, its resource is unchanged."""
    project.write(
        f"{THING}thing = Thing('one')\n"
        "for name in ('pid', 'python', 'folder'):\n    pulumi.export(name, getattr(thing, name))\n",
        providers=PROVIDERS,
    )
    result = project.up()
    assert result.returncode == 0, result.stdout + result.stderr
    outputs = json.loads(project.pulumi("stack", "output", "--json", "--stack", "t").stdout)
    assert outputs["python"] == str(Checkout.here().venv)
    assert outputs["folder"] == str(project.folder)
    assert exits(int(outputs["pid"]))
    again = project.up()
    assert "2 unchanged" in again.stdout, again.stdout
    assert project.pulumi("destroy", "--yes", "--stack", "t").returncode == 0


def test_on_ctrl_c_the_provider_is_canceled_and_exits(project: Project, tmp_path: Path) -> None:
    """Even during a create that would never finish."""
    marker = tmp_path / "creating"
    project.write(THING + f"Thing('one', block={str(marker)!r})\n", providers=PROVIDERS)
    process = subprocess.Popen(
        [str(project.engine.bin / "pulumi"), "up", "--yes", "--stack", "t", "--skip-preview", "--non-interactive"],
        cwd=project.folder,
        env=project.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    provider = int(wait_for(marker, process))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "the create was cancelled" in output
    assert exits(provider)


def test_the_children_of_a_killed_host_are_killed(tmp_path: Path) -> None:
    """With kill -9, too."""
    if sys.platform != "linux":
        pytest.skip("other systems have no parent death signal; there the engine kills the process group")
    code = (
        "import os, sys\n"
        f"sys.path.insert(0, {str(Checkout.here().root)!r})\n"
        "from toolchain.languagehost.processes import Child\n"
        "sleeper = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'\n"
        "child = Child([sys.executable, '-c', sleeper], cwd='/', env=os.environ, capture=True)\n"
        "print(next(child.output()).data.decode(), flush=True)\n"
        "child.wait()\n"
    )
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with host:
        assert host.stdout is not None
        sleeper = int(host.stdout.readline())
        host.kill()
    assert exits(sleeper)


@pytest.fixture
def child() -> Iterator[list[processes.Child]]:
    started: list[processes.Child] = []
    yield started
    processes.Child.stop_all()


def test_a_child_that_ignores_the_request_to_exit_is_killed(
    child: list[processes.Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the grace period."""
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.1)
    stubborn = processes.Child(
        [
            sys.executable,
            "-c",
            "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(1, flush=True)\ntime.sleep(600)",
        ],
        cwd="/",
        env=dict(os.environ),
        capture=True,
    )
    child.append(stubborn)
    output = stubborn.output()
    assert next(output).data.startswith(b"1"), "now it ignores the signal"
    stubborn.stop()
    assert stubborn.wait() == -signal.SIGKILL


def test_the_plugins_of_installed_packages_are_found() -> None:
    """With their locked versions."""
    checkout = Checkout.here()
    plugins = {plugin["name"]: plugin["version"] for plugin in Environment(checkout.venv).plugins()}
    assert plugins["azure-native"] == locked_version(checkout, "pulumi-azure-native")


def test_a_relative_environment_is_beside_the_program_else_beside_the_project(tmp_path: Path) -> None:
    """And a toolchain other than pip is an error."""
    program = tmp_path / "program"
    program.mkdir()
    assert Environment.of(str(tmp_path), str(program), {"virtualenv": "venv"}).folder == tmp_path / "venv"
    (program / "venv").mkdir()
    assert Environment.of(str(tmp_path), str(program), {"virtualenv": "venv"}).folder == program / "venv"
    with pytest.raises(PythonEnvironmentError, match="toolchain"):
        Environment.of(str(tmp_path), str(program), {"toolchain": "uv"})


def test_without_an_sdk_in_its_environment_the_host_prints_a_remedy(tmp_path: Path) -> None:
    """Not a traceback."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    host = Checkout.here().root / "toolchain" / "languagehost"
    failed = subprocess.run(
        [str(tmp_path / "bare" / "bin" / "python"), str(host), "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode != 0
    assert "dev.py setup" in failed.stderr and "Traceback" not in failed.stderr


def test_pulumi_install_creates_the_environment_of_the_project(project: Project) -> None:
    """From its requirements.txt."""
    project.write("import sys\nprint(sys.prefix)\n", "    toolchain: pip\n    virtualenv: own\n")
    (project.folder / "requirements.txt").write_text("# nothing\n")
    result = project.pulumi("install")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (project.folder / "own" / "pyvenv.cfg").is_file()


def test_about_shows_the_interpreter_and_the_direct_dependencies(project: Project, engine: Engine) -> None:
    """Only direct ones, or all with `--transitive`."""
    assert (engine.bin / HOST).exists() or engine.origin.startswith("/")
    about = json.loads(project.pulumi("about", "--json").stdout)
    assert about["runtime"]["executable"] == str(Checkout.here().python)
    assert "azure-image-factory" in {package["name"] for package in about["dependencies"]}
    assert "azure-identity" not in {package["name"] for package in about["dependencies"]}
    every = json.loads(project.pulumi("about", "--json", "--transitive").stdout)
    assert "azure-identity" in {package["name"] for package in every["dependencies"]}
