"""`imagefactory validate` and `imagefactory schema`, by their entry point."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.cli.main import main
from imagefactory.cli.validate import azure_line, github_line
from imagefactory.configuration.loading import load_configuration
from imagefactory.diagnostics import Diagnostic, Location, Severity
from imagefactory.errors import ConfigurationError
from imagefactory.plain_text import printable
from tests.agent_commands import SET_VARIABLE, agent_commands
from tests.unit.builders import entry, write_configuration

ROOT = Path(__file__).parents[3]


def run(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, as the entry point does, with its own streams and folder."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["imagefactory", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    return subprocess.CompletedProcess(arguments, int(end.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def _handlers(handlers: None) -> None:
    """A command that runs in this process leaves no handler of signals behind."""


def test_a_clean_configuration_exits_0() -> None:
    """Here the sample configuration of this repository, with the default options, in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from imagefactory.cli.main import main; main()"
    command = [sys.executable, "-c", code, "validate"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Configuration: 3 labs, 5 golden images, 0 errors, 0 warnings\n"


def test_warnings_are_shown_and_exit_0(tmp_path: Path) -> None:
    """A warning does not fail a pull request."""
    write_configuration(tmp_path, {"Labs": [entry()]}, "Win2016/Datacenter.json", "Ubuntu/Jammy.json")
    done = run("validate", "--configuration", tmp_path)
    assert done.returncode == 0
    assert "no lab uses it" in done.stdout
    assert done.stdout.endswith("1 lab, 2 golden images, 0 errors, 1 warning\n")


def test_errors_exit_1_in_every_format(tmp_path: Path) -> None:
    """Paths are printed as they were passed, so that pipelines annotate the right file."""
    write_configuration(tmp_path, {"Labs": [entry(LabName="a,b;c]:%")]}, "Win2016/Datacenter.json")
    printed = {
        name: run("validate", "--configuration", ".", "--format", name, cwd=tmp_path)
        for name in ("text", "json", "github", "azure")
    }
    assert {done.returncode for done in printed.values()} == {1}
    assert printed["text"].stdout.startswith('labs.json:5:18: error: Labs[0].LabName: "a,b;c]:%" is not valid; ')
    assert printed["text"].stdout.endswith("\n.: 1 error, 0 warnings\n")
    assert printed["github"].stdout.startswith('::error file=labs.json,line=5,col=18::Labs[0].LabName: "a,b;c]:%25" ')
    assert printed["azure"].stdout.startswith(
        "##vso[task.logissue type=error;sourcepath=labs.json;linenumber=5;columnnumber=18]"
        'Labs[0].LabName: "a,b;c]:%AZP25" '
    )
    (diagnostic,) = json.loads(printed["json"].stdout)
    assert set(diagnostic) == {
        "severity",
        "file",
        "line",
        "column",
        "subject",
        "fact",
        "consequence",
        "remedy",
        "message",
    }
    assert (diagnostic["severity"], diagnostic["file"], diagnostic["line"], diagnostic["column"]) == (
        "error",
        "labs.json",
        5,
        18,
    )


@pytest.mark.parametrize("path", ["C++/Tools.json", "_Base/Win.json", "Win2019 (Core), EN/IIS+SQL.json", "Büro/a.json"])
def test_a_golden_image_whose_path_azure_rejects_as_a_name_is_an_error(tmp_path: Path, path: str) -> None:
    """At the file, with the name that `save` gives its images."""
    write_configuration(tmp_path, {"Labs": [entry(ImagePaths=[path])]}, path)
    done = run("validate", "--configuration", ".", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"GoldenImages/{path}: error: golden image: Azure would reject its path as the name")
    assert "`save` gives them names such as " in done.stdout and "1 error, 0 warnings" in done.stdout


def test_fix_corrects_the_labs_file_and_the_rest_is_reported(tmp_path: Path) -> None:
    """A second run has nothing to correct; with the format json, standard output is one document."""
    text = json.dumps({"labs": [entry(LabName="a b", ImagePaths="Win2016")]}, indent=2).replace("]", ", ]")
    file = write_configuration(tmp_path, f"// ours\n{text}", "Win2016/Datacenter.json") / "labs.json"
    plain = run("validate", "--configuration", ".", cwd=tmp_path)
    assert plain.stdout.endswith(".: 1 error, 4 warnings\n") and file.read_text("utf-8").startswith("// ours")
    fixed = run("validate", "--configuration", ".", "--fix", "--format", "json", cwd=tmp_path)
    assert fixed.returncode == 1 and fixed.stderr == "labs.json: 4 places corrected\n"
    assert [each["line"] for each in json.loads(fixed.stdout)] == [5]
    document = json.loads(file.read_text("utf-8"))
    assert document == {"Labs": [entry(LabName="a b", ImagePaths=["Win2016"])]}
    again = run("validate", "--configuration", ".", "--fix", cwd=tmp_path)
    assert "corrected" not in again.stdout and again.stdout.endswith(".: 1 error, 0 warnings\n")


def test_a_labs_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """It is kept, and nothing is left beside it."""
    write_configuration(tmp_path, '{"labs": []}', "Win2016/Datacenter.json")
    (tmp_path / "labs.json").rename(tmp_path / f"{'l' * 250}")
    (tmp_path / "labs.json").symlink_to(tmp_path / f"{'l' * 250}")
    done = run("validate", "--configuration", ".", "--fix", cwd=tmp_path)
    assert done.returncode == 1 and "labs.json: error: labs file: cannot be written (File name too long)" in done.stdout
    assert (tmp_path / f"{'l' * 250}").read_text("utf-8") == '{"labs": []}' and not list(tmp_path.glob(".*"))


def test_a_missing_folder_exits_1_and_wrong_usage_2(tmp_path: Path) -> None:
    """Both without a traceback."""
    missing, wrong = run("validate", "--configuration", tmp_path / "none"), run("validate", "--fromat", "json")
    assert (missing.returncode, wrong.returncode) == (1, 2)
    assert "configuration folder: does not exist" in missing.stdout
    assert "Traceback" not in missing.stderr + wrong.stderr


def test_commands_of_pipelines_escape_what_would_end_a_property() -> None:
    """A file name cannot add properties or commands."""
    diagnostic = Diagnostic(Severity.WARNING, "s", "100 %", "", "r", Location("a,b:c;d]e%f.json", 1))
    assert github_line(diagnostic) == "::warning file=a%2Cb%3Ac;d]e%25f.json,line=1::s: 100 %25. r."
    assert azure_line(diagnostic) == (
        "##vso[task.logissue type=warning;sourcepath=a,b:c%3Bd%5De%AZP25f.json;linenumber=1]s: 100 %AZP25. r."
    )
    nowhere = Diagnostic(Severity.ERROR, "s", "f\nline \x1b[31m", "c", "r")
    assert github_line(nowhere) == "::error::s: f line \\x1b[31m; c. r."


@given(st.text(), st.text(), st.sampled_from(["##vso[task.setvariable variable=x]", "##[group]", "\n::add-mask::"]))
def test_no_text_breaks_out_of_a_command_of_pipelines(file: str, fact: str, command: str) -> None:
    """The agent finds one command on one line, with the original properties and message."""
    location = Location(f"{file};{command},::]x=1", 2, 3)
    diagnostic = Diagnostic(Severity.ERROR, fact, f"{fact}{command}", command, "r", location)
    printed, seen = github_line(diagnostic), azure_line(diagnostic)
    for line in (printed, seen):
        assert len(line.splitlines()) == 1 and line.isprintable()
        assert not agent_commands(line[2:])
    head, _, message = printed.removeprefix("::error ").partition("::")
    properties = dict(pair.split("=", 1) for pair in head.split(","))
    names = {name: value.replace("%3A", ":").replace("%2C", ",") for name, value in properties.items()}
    assert {name: value.replace("%25", "%") for name, value in names.items()} == {
        "file": printable(location.file),
        "line": "2",
        "col": "3",
    }
    assert message.replace("%25", "%") == diagnostic.message()
    head, _, message = seen.removeprefix("##vso[task.logissue ").partition("]")
    assert dict(pair.split("=", 1) for pair in head.split(";")).keys() == {
        "type",
        "sourcepath",
        "linenumber",
        "columnnumber",
    }
    assert message.replace("%AZP25", "%") == diagnostic.message()


def test_what_others_wrote_is_no_command_in_texts_and_documents(tmp_path: Path) -> None:
    """Of a labs file, which a pull request may bring."""
    write_configuration(tmp_path, {"Labs": [entry(LabName=SET_VARIABLE)]}, "Win2016/Datacenter.json")
    for name in ("text", "json"):
        done = run("validate", "--configuration", tmp_path, "--format", name)
        assert done.returncode == 1 and "task.setvariable" in done.stdout
        assert not agent_commands(done.stdout + done.stderr)


def test_the_committed_schema_is_up_to_date_and_check_finds_one_that_is_not(tmp_path: Path) -> None:
    """`schema` without --check updates it."""
    assert run("schema", "--check").returncode == 0
    stale = run("schema", "--check", "--configuration", tmp_path)
    assert (stale.returncode, stale.stdout) == (1, "")
    assert "is out of date" in stale.stderr
    assert run("schema", "--configuration", tmp_path).returncode == 0
    assert run("schema", "--check", "--configuration", tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ({"Labs": [entry(ResourceGroup="Büro_(1).x")], "$schema": "labs.schema.json"}, True),
        ({"Labs": [entry(ResourceGroup=None)]}, True),
        ({"Labs": [entry(ResourceGroup="ends.")]}, False),
        ({"Labs": [entry(ResourceGroup="a<b")]}, False),
        ({"Labs": [entry(LabName="a b")]}, False),
        ({"Labs": [entry(ImagePaths=[])]}, False),
        ({"Labs": []}, False),
        ({"Labs": [entry(Colour=1)]}, False),
    ],
)
def test_schema_and_program_agree(tmp_path: Path, document: dict[str, object], good: bool) -> None:
    """What the schema rejects, the program rejects, and vice versa."""
    schema = json.loads((ROOT / "Configuration" / "labs.schema.json").read_text(encoding="utf-8"))
    assert jsonschema.Draft202012Validator(schema).is_valid(document) is good
    write_configuration(tmp_path, document, "Win2016/Datacenter.json")
    with nullcontext() if good else pytest.raises(ConfigurationError):
        load_configuration(tmp_path)
