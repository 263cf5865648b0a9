"""Pins are written into the text of a stack file, and nothing else of it changes, whatever its style."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.stack_pins import with_pins, write_pins
from imagefactory.errors import ConfigurationError
from tests.unit.builders import image_paths

A, B, C = (ImagePath.parse(text) for text in ("Win2016/Datacenter.json", "Ubuntu/Jammy.json", "Win2019.json"))
HEAD = (
    "# A stack. Ünïcode: # not a value\nconfig:   # what it is\n  imagefactory:factory: {labName: 'f', a: 1}  # lab\n"
)
TAIL = "  # in between\n\n  imagefactory:keep:   2 # two\n  other:list:\n  - 1\n  -   [x,   y]\nencryptionsalt: 'v1'\n"
STYLES = {
    "missing": "",
    "commented out": "  # imagefactory:pins:\n  #   Win2016/Datacenter.json: old\n",
    "block": "  imagefactory:pins:   # all\n    # why\n    Win2016\\Datacenter.json:   old # June\n    x.json: 'y'\n",
    "wide block": '  \'imagefactory:pins\':\n\n        "x.json": "y"\n        # Ubuntu/Jammy.json: old\n',
    "flow": "  imagefactory:pins: {x.json: y, 'win2016/datacenter.json': \"old\"} # all\n",
    "flow over lines": "  imagefactory:pins: {\n    x.json: y,  # why\n    Ubuntu/Jammy.json: old,\n  }\n",
    "empty": "  imagefactory:pins: {}   # none\n",
    "text": '  imagefactory:pins: \'{"x.json": "y", "Win2016/Datacenter.json": "old"}\' # of pulumi\n',
    "no namespace": "  pins:\n    x.json: y\n",
    "quoted": "  imagefactory:pins:\n    'x.json': 'y'\n    \"Ubuntu/Jammy.json\":   'old'   # later\n",
}
NAMES = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.()-]{0,20}\Z") | st.sampled_from(["null", "2026", "1e3", "0x1", "no"])
PINS = st.dictionaries(st.sampled_from([A, B, C]) | image_paths.map(ImagePath.parse), NAMES, max_size=4)


def pins_of(text: str) -> dict[ImagePath, str]:
    """What the program reads as pins."""
    config = yaml.safe_load(text)["config"]
    value = config.get("imagefactory:pins", config.get("pins")) or {}
    value = json.loads(value) if isinstance(value, str) else value
    return {ImagePath.parse(path): name for path, name in value.items()}


def without_pins(text: str) -> Any:
    """What it reads of all else."""
    document = yaml.safe_load(text)
    return {**document, "config": {key: each for key, each in document["config"].items() if not key.endswith("pins")}}


def others(text: str) -> list[str]:
    """The lines without anything of pins."""
    return [line for line in text.splitlines() if line in HEAD.splitlines() or line in TAIL.splitlines()]


@given(st.sampled_from(list(STYLES.values())), st.booleans(), st.booleans(), PINS)
def test_pins_are_set_and_all_else_is_kept(style: str, is_last: bool, is_dos: bool, pins: dict[ImagePath, str]) -> None:
    """Other pins, other settings, comments, and the lines of them as they were; a second time changes nothing."""
    body, _, salt = TAIL.partition("encryptionsalt")
    text = HEAD + (body + style if is_last else style + body) + f"encryptionsalt{salt}"
    text = text.replace("\n", "\r\n") if is_dos else text
    changed = with_pins(text, pins)
    assert pins_of(changed) == {**pins_of(text), **pins}
    assert without_pins(changed) == without_pins(text)
    assert others(changed) == others(text)
    comments = [line[line.index("#") :] for line in text.splitlines() if "#" in line]
    assert [comment for comment in comments if comment not in changed] == []
    assert changed.count("\r\n") == (changed.count("\n") if is_dos else 0)
    assert with_pins(changed, pins) == changed


@pytest.mark.parametrize("style", list(STYLES))
def test_only_the_lines_of_pins_change(style: str) -> None:
    """As a reviewer sees the difference."""
    text = HEAD + STYLES[style] + TAIL
    changed = with_pins(text, {A: "new-1", B: "new-2"})
    kept = text.splitlines()
    added = [line for line in changed.splitlines() if line not in kept]
    assert added and all("new-" in line or line.strip() == "imagefactory:pins:" for line in added)
    gone = [line for line in kept if line not in changed.splitlines()]
    assert all("old" in line or "pins" in line or line.endswith("y,  # why") for line in gone)


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_pin_keeps_its_key_quotes_and_comment(quote: str) -> None:
    """Also if its path is written with other separators and in another case."""
    text = f"config:\n  imagefactory:pins:\n    'WIN2016\\datacenter.json':   {quote}old-1{quote}  # June\n"
    assert with_pins(text, {A: "new-1"}) == text.replace("old-1", "new-1")


def test_a_new_pin_comes_behind_the_last_one_and_its_comments() -> None:
    """And a new setting behind the last one of the stack, with comments below it that are indented deeper."""
    text = "config:\n  imagefactory:factory:\n    labName: f # lab\n    # resourceGroup: g\n  # imagefactory:keep: 2"
    assert with_pins(text, {A: "a-1", C: "c-1"}) == (
        "config:\n  imagefactory:factory:\n    labName: f # lab\n    # resourceGroup: g\n"
        "  imagefactory:pins:\n    Win2016/Datacenter.json: a-1\n    Win2019.json: c-1\n  # imagefactory:keep: 2"
    )


FORMS = [
    "config:\n  x: &pins {Win2016/Datacenter.json: old}\n  imagefactory:pins: *pins\n",
    "config:\n  imagefactory:pins:\n    Win2016/Datacenter.json: |-\n      old\n",
    "config:\n  imagefactory:pins:\n    x.json: &x old\n    Win2016/Datacenter.json: *x\n",
    "config:\n  imagefactory:pins: [x\n",
    "config:\n",
    "- config\n",
    "",
]


@pytest.mark.parametrize("text", FORMS)
def test_a_file_that_cannot_be_edited_is_an_error_and_stays(tmp_path: Path, text: str) -> None:
    """It says what to write by hand; nothing else than these pins may change, as the target of an alias would."""
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=r"Win2016/Datacenter\.json: new") as caught:
        write_pins(file, {A: "new"})
    assert "no pin is written" in str(caught.value) and file.read_text("utf-8") == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("config: imagefactory:pins{}[]&*!|>'\"#-?,\n a\\"), max_size=80))
def test_any_text_is_edited_or_refused(text: str) -> None:
    """Nothing else than these errors comes out of it."""
    try:
        changed = with_pins(f"config:\n{text}", {A: "new"})
    except (ValueError, yaml.YAMLError):
        return
    assert pins_of(changed)[A] == "new" and without_pins(changed) == without_pins(f"config:\n{text}")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encoding_mode_and_link_are_kept(tmp_path: Path, encoding: str) -> None:
    """The file that a link names is replaced, and nothing is left beside it."""
    file, link = tmp_path / "real.yaml", tmp_path / "Pulumi.prod.yaml"
    file.write_bytes((HEAD + TAIL).encode(encoding))
    file.chmod(0o640)
    link.symlink_to(file)
    assert write_pins(link, {A: "new"}) and not write_pins(link, {A: "new"})
    assert link.is_symlink() and stat.S_IMODE(file.stat().st_mode) == 0o640
    assert file.read_bytes() == with_pins(HEAD + TAIL, {A: "new"}).encode(encoding)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["Pulumi.prod.yaml", "real.yaml"]


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), PermissionError(13, "Permission denied")])
def test_a_write_that_ends_early_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    """Ctrl-C and an error of the disk."""
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text(HEAD + TAIL, "utf-8")

    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(shutil, "copymode", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(problem, KeyboardInterrupt) else ConfigurationError):
        write_pins(file, {A: "new"})
    assert file.read_text("utf-8") == HEAD + TAIL and [*tmp_path.iterdir()] == [file]


def test_nothing_is_written_if_nothing_changes(tmp_path: Path) -> None:
    """Neither without pins nor with those that are there."""
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text(HEAD + STYLES["block"] + TAIL, "utf-8")
    file.chmod(0o440)
    before = file.stat().st_ino, file.stat().st_mtime_ns
    assert not write_pins(file, {}) and not write_pins(file, {A: "old"})
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == before and with_pins("", {}) == ""
