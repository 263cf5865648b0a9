"""labs.json and the golden images: all mistakes are reported together, each with its location."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.loading import Configuration, load_configuration, load_golden_images
from imagefactory.diagnostics import Severity
from imagefactory.errors import ConfigurationError
from tests.unit.builders import SUBSCRIPTION, entry, names_file_once, write_configuration

GOLDEN = ("Win2016/Datacenter.json", "Ubuntu/Jammy.json")


def refused(directory: Path, labs_file: str = "labs.json") -> list[str]:
    """The diagnostics of an invalid folder, with paths relative to it."""
    with pytest.raises(ConfigurationError) as raised:
        load_configuration(directory, labs_file)
    assert any(diagnostic.severity is Severity.ERROR for diagnostic in raised.value.diagnostics)
    return [line.replace(f"{directory.as_posix()}/", "") for line in str(raised.value).splitlines()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["labs.json", "Labs.json", "LABS.JSON"])
def test_a_labs_file_of_the_old_scripts_is_read(tmp_path: Path, name: str, encoding: str) -> None:
    """File name in any case, PowerShell's encodings, backslashes, and the keys in the scripts' order."""
    document = {"Labs": [entry(ResourceGroup="rg", ImagePaths=["Win2016\\Datacenter.json", "ubuntu"])]}
    write_configuration(tmp_path, json.dumps(document).encode(encoding), *GOLDEN, name=name)
    found = load_configuration(tmp_path)
    assert [str(image.path) for image in found.golden_images] == ["Ubuntu/Jammy.json", "Win2016/Datacenter.json"]
    (lab,) = found.labs
    assert (lab.name, lab.resource_group, lab.key) == ("team", "rg", LabKey(SUBSCRIPTION.lower(), "team", "rg"))
    assert all(lab.takes(image.path) for image in found.golden_images)
    assert found.warnings == ()


def test_the_sample_configuration_is_clean() -> None:
    """The configuration of the repository has no diagnostics, and the three labs of the documentation."""
    found = load_configuration(Path(__file__).parents[3] / "Configuration")
    assert len(found.labs) == 3
    assert found.warnings == ()


def test_all_diagnostics_are_reported_together_each_with_its_location(tmp_path: Path) -> None:
    """Structure, identity and paths, in the order of the file; no diagnostic hides another."""
    text = """{
  "Labs": [
    {"SubscriptionId": "abc", "labName": "x", "ImagePaths": []},
    {"SubscriptionId": "22222222-2222-2222-2222-222222222222", "LabName": "team",
     "ImagePaths": ["Win2016", "Win2016/Datacentr.json", "..\\\\x", 5, "win2016/"], "ResourceGroup": "<rg>"},
    {"SubscriptionId": "22222222-2222-2222-2222-222222222222", "LabName": "TEAM", "Colour": 1, "ImagePaths": "Ubuntu"},
    7
  ],
  "Labbs": []
}"""
    told = refused(write_configuration(tmp_path, text, *GOLDEN))
    expected = [
        r"labs.json:3:24: error: Labs\[0\].SubscriptionId: \"abc\" is not valid",
        r"labs.json:3:31: warning: the key is written \"labName\"; .*Write \"LabName\"",
        r"labs.json:3:61: error: Labs\[0\].ImagePaths: the list is empty",
        r"labs.json:5:32: error: .*\"Win2016/Datacentr.json\": matches no golden .*Write \"Win2016/Datacenter.json\"",
        r"labs.json:5:58: error: .*leaves the image root",
        r"labs.json:5:67: error: Labs\[1\].ImagePaths\[3\]: expected a string, got a number",
        r"labs.json:5:70: warning: .*the entry is listed twice, first in line 5",
        r"labs.json:5:100: error: Labs\[1\].ResourceGroup: \"<rg>\"",
        r"labs.json:6:75: error: lab TEAM .*listed twice, first in line 4",
        r"labs.json:6:83: error: Labs\[2\]: unknown key \"Colour\"; .*valid keys: ",
        r"labs.json:6:110: warning: Labs\[2\].ImagePaths: is a string, not a list; .*Write \[\"Ubuntu\"\]",
        r"labs.json:7:5: error: Labs\[3\]: expected an object, got a number",
        r"labs.json:9:3: error: unknown key \"Labbs\"; .*Write \"Labs\"",
    ]
    assert len(told) == len(expected), "\n".join(told)
    for line, pattern in zip(told, expected, strict=True):
        assert re.search(pattern, line), f"{line}\nis not\n{pattern}"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"Labs": []}, "labs.json:2:11: error: Labs: the list is empty"),
        ({}, '"Labs" is missing'),
        ([], "expected an object, got a list"),
        ({"Labs": [{}]}, '"ImagePaths" is missing'),
        ({"Labs": [entry(LabName="a lab")]}, "Labs[0].LabName"),
        ({"Labs": [entry(LabName="")]}, "Labs[0].LabName"),
        ({"Labs": [entry(LabName="x" * 51)]}, "Labs[0].LabName"),
        ({"Labs": [entry(ResourceGroup="ends.")]}, "Labs[0].ResourceGroup"),
        ({"Labs": [entry(ResourceGroup="")]}, "Labs[0].ResourceGroup"),
        ({"Labs": [entry(SubscriptionId=None)]}, "expected a string, got null"),
        ({"Labs": [entry(ImagePaths=5)]}, "expected a list, got a number"),
        ({"Labs": "Win2016"}, "Labs: expected a list, got a string"),
        ({"Labs": [entry(ImagePaths=["/Win2016"])]}, "is an absolute path"),
        ({"Labs": [entry(ImagePaths=["C:\\Win2016"])]}, "is an absolute path"),
        ({"Labs": [entry(ImagePaths=["Win20"])]}, "matches no golden image"),
        ({"Labs": [entry(ImagePaths=["nothing-like-it"])]}, "Write the path of a golden image"),
        ('{"Labs": [], "Labs": []}', "the key is written twice"),
        ('{"Labs": [}', "labs.json:1:11: error: not valid JSON"),
    ],
)
def test_each_mistake_is_reported(tmp_path: Path, document: Any, named: str) -> None:
    """Each mistake alone."""
    assert any(named in line for line in refused(write_configuration(tmp_path, document, *GOLDEN)))


def test_a_missing_folder_or_labs_file_is_a_clear_diagnostic(tmp_path: Path) -> None:
    """If only labs.json is missing, the golden images are still checked."""
    assert "configuration folder: does not exist" in refused(tmp_path / "none")[0]
    write_configuration(tmp_path, {"Labs": [entry()]}, *GOLDEN, name="other.json")
    (tmp_path / "GoldenImages" / "bad.json").write_text("{")
    told = "\n".join(refused(tmp_path))
    assert "labs.json: error: labs file: is missing" in told
    assert "GoldenImages/bad.json:1:2: error" in told


def test_a_labs_file_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    """It can be reached neither by `..` nor by a link."""
    folder = write_configuration(tmp_path / "in", {"Labs": [entry()]}, *GOLDEN)
    (tmp_path / "labs.json").write_text(json.dumps({"Labs": [entry()]}))
    (folder / "linked.json").symlink_to(tmp_path / "labs.json")
    for name in ("../labs.json", "linked.json"):
        assert any("is outside of the configuration folder" in line for line in refused(folder, name))


@pytest.mark.parametrize("name", ["", ".", "GoldenImages"])
def test_a_folder_in_the_place_of_the_labs_file_is_refused(tmp_path: Path, name: str) -> None:
    """The remedy is to name a file, not to write labs into a folder."""
    folder = write_configuration(tmp_path, {"Labs": [entry()]}, *GOLDEN)
    assert "is a folder; nothing is distributed. Name a file in the configuration folder" in refused(folder, name)[-1]


def test_golden_images_are_checked(tmp_path: Path) -> None:
    """Invalid JSON, no object, two names that differ only in case; links out of the root are not followed."""
    root = write_configuration(tmp_path, {"Labs": [entry()]}, *GOLDEN, "Win2016/datacenter.JSON") / "GoldenImages"
    (root / "Win2016" / "broken.json").write_text('{\n"a": }')
    (root / "Win2016" / "list.json").write_text("[]")
    (root / "Win2016" / ".hidden.json").write_text("junk")
    (root / "Win2016" / "x.schema.json").write_text("junk")
    (tmp_path / "secret.json").write_text("{}")
    (root / "Win2016" / "out.json").symlink_to(tmp_path / "secret.json")
    (root / "Win2016" / "in.json").symlink_to(root / "Ubuntu" / "Jammy.json")
    (root / "all").symlink_to(tmp_path, target_is_directory=True)
    told = "\n".join(refused(tmp_path))
    assert "GoldenImages/Win2016/broken.json:2:6: error: not valid JSON" in told
    assert "list.json:1:1: error: golden image: is not a JSON object" in told
    assert "differs from Win2016/Datacenter.json only in case" in told
    assert "out.json: error: is a link to a file outside of the image root" in told
    assert "all: error: is a link to a folder" in told
    assert "hidden" not in told
    assert "schema" not in told
    assert "in.json" not in told


def test_without_a_folder_of_golden_images_the_configuration_is_the_root(tmp_path: Path) -> None:
    """The labs file, labs files of other stacks and the schema are not golden images."""
    write_configuration(tmp_path, {"Labs": [entry()]})
    write_configuration(tmp_path, {"Labs": []}, name="labs.prod.json")
    (tmp_path / "labs.schema.json").write_text("{}")
    (tmp_path / "Win2016").mkdir()
    (tmp_path / "Win2016" / "Datacenter.json").write_text("{}")
    assert [str(image.path) for image in load_configuration(tmp_path).golden_images] == ["Win2016/Datacenter.json"]
    (tmp_path / "labs.test.json").write_text('{"labs": [],} // of the older scripts')
    assert [str(image.path) for image in load_configuration(tmp_path).golden_images] == ["Win2016/Datacenter.json"]


@pytest.mark.parametrize("version", ["2015-01-01", "2019-04-01"])
def test_a_file_of_parameter_values_is_not_a_golden_image(tmp_path: Path, version: str) -> None:
    """Its schema says so; a template of that name is a golden image."""
    root = write_configuration(tmp_path, {"Labs": [entry()]}, *GOLDEN, "Win2016/SQL.parameters.json") / "GoldenImages"
    schema = f"https://schema.management.azure.com/schemas/{version}/deploymentParameters.json#"
    (root / "Win2016" / "Datacenter.parameters.json").write_text(json.dumps({"$schema": schema, "parameters": {}}))
    schema = schema.replace("deploymentParameters", "deploymentTemplate")
    (root / "Win2016" / "Datacenter.json").write_text(json.dumps({"$schema": schema}))
    found = [str(image.path) for image in load_golden_images(tmp_path)]
    assert found == ["Ubuntu/Jammy.json", "Win2016/Datacenter.json", "Win2016/SQL.parameters.json"]


def test_a_template_may_have_comments(tmp_path: Path) -> None:
    """ARM and PowerShell accept them, so they are no warnings; keys are read in any case."""
    folder = write_configuration(tmp_path, {"Labs": [entry()]}, "Win2016/Datacenter.json")
    text = '{ // built weekly\n "METADATA": {"imageosstate": "Specialized", /* not yet */ }, }'
    (folder / "GoldenImages" / "Win2016" / "Datacenter.json").write_text(text)
    found = load_configuration(folder)
    assert [image.generalized for image in found.golden_images] == [False] and found.warnings == ()


def test_a_golden_image_that_no_lab_uses_is_a_warning(tmp_path: Path) -> None:
    """It does not prevent a run."""
    found = load_configuration(write_configuration(tmp_path, {"Labs": [entry()]}, *GOLDEN))
    assert isinstance(found, Configuration)
    assert ["no lab uses it" in diagnostic.text() for diagnostic in found.warnings] == [True]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("Win2016/C++.json", "it contains '+'"),
        ("Win2016/Win2019 (Core), EN/IIS+SQL.json", "it contains '('"),
        ("Win2016/_Base/Win.json", "it starts with '_'"),
        ("Win2016/Büro.json", "it contains 'ü'"),
        (f"Win2016/{'x' * 80}.json", "more than 80"),
        (f"Win2016/{'x' * 61}.json", "it has 81 characters, more than 80"),
    ],
)
def test_a_path_that_azure_would_reject_as_a_name_is_an_error_of_the_golden_image_and_no_reason_to_stop_a_run(
    tmp_path: Path, path: str, reason: str
) -> None:
    """`save` derives another name, so a run only warns."""
    folder = write_configuration(tmp_path, {"Labs": [entry()]}, GOLDEN[0], path)
    (told,) = load_configuration(folder).warnings
    assert told.text().startswith(f"{(folder / 'GoldenImages' / path).as_posix()}: warning: golden image: Azure would")
    assert reason in told.text() and names_file_once(told)
    assert len(load_golden_images(folder)) == 2
    with pytest.raises(ConfigurationError) as raised:
        load_configuration(folder, names=Severity.ERROR)
    assert raised.value.diagnostics == (replace(told, severity=Severity.ERROR),)


def test_a_path_of_the_greatest_length_is_a_valid_name_on_all_days(tmp_path: Path) -> None:
    """The date has up to 12 characters."""
    path = f"Win2016/{'x' * 60}.json"
    write_configuration(tmp_path, {"Labs": [entry()]}, path)
    assert load_configuration(tmp_path, names=Severity.ERROR).warnings == ()


def test_labels_distinguish_labs_of_one_name_and_a_collision_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resource names contain the label, so two labs must not have the same."""
    other = "33333333-3333-3333-3333-333333333333"
    write_configuration(tmp_path, {"Labs": [entry(), entry(SubscriptionId=other)]}, "Win2016/Datacenter.json")
    labels = {lab.label for lab in load_configuration(tmp_path).labs}
    digits = sha256(other.encode()).hexdigest()[:8]
    assert f"team@{digits}" in labels
    assert len(labels) == 2
    monkeypatch.setattr(hashlib, "sha256", lambda _text: sha256(b"same"))
    assert any("is the same as that of the lab of subscription" in line for line in refused(tmp_path))


def test_two_labs_of_one_name_in_two_resource_groups_have_labels_with_their_groups(tmp_path: Path) -> None:
    """A lab of another subscription, or of another name, needs no telling apart."""
    twins = [entry(ResourceGroup="Rg-A"), entry(LabName="TEAM", ResourceGroup="rg-ü.(2)")]
    others = [entry(LabName="other", ResourceGroup="rg"), entry(SubscriptionId="3" * 8 + "-3333" * 3 + "-" + "3" * 12)]
    write_configuration(tmp_path, {"Labs": [*twins, *others]}, GOLDEN[0])
    labs = load_configuration(tmp_path).labs
    ours, theirs = (sha256(lab.subscription_id.lower().encode()).hexdigest()[:8] for lab in labs[2:])
    names = [f"team.rg-a@{ours}", f"team.rg-ü.(2)@{ours}", f"other@{ours}", f"team@{theirs}"]
    assert [lab.label for lab in labs] == names and len({lab.key for lab in labs}) == 4


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {}, "the lab is listed twice, first in line 4; .*Merge both"),
        ({"ResourceGroup": "rg"}, {"ResourceGroup": "RG"}, "the lab is listed twice, first in line 4; .*Merge both"),
        (
            {"ResourceGroup": "rg"},
            {},
            "first in line 4, and one entry has no ResourceGroup; .*Add ResourceGroup to both",
        ),
        (
            {},
            {"ResourceGroup": "rg"},
            "first in line 4, and one entry has no ResourceGroup; .*Add ResourceGroup to both",
        ),
    ],
)
def test_entries_that_may_mean_the_same_lab_are_rejected(
    tmp_path: Path, first: dict[str, str], second: dict[str, str], told: str
) -> None:
    """Without a resource group on both, nobody can say which lab an entry means."""
    document = {"$schema": "x", "Labs": [entry(**first), entry(LabName="TEAM", **second)]}
    text = json.dumps(document).replace('"Labs": [', '"Labs":\n\n\n[').replace("}, {", "},\n{")
    (line,) = refused(write_configuration(tmp_path, text, GOLDEN[0]))
    assert re.match(rf"labs.json:5:\d+: error: lab TEAM of subscription .*{told}", line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["SubscriptionId", "LabName", "ImagePaths", "Labs", "labs", ""]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(json_values | st.fixed_dictionaries({"Labs": st.lists(json_values)}) | st.binary())
def test_any_labs_file_is_read_or_rejected_with_locations(tmp_path: Path, document: Any) -> None:
    """Nothing but ConfigurationError is raised, and every diagnostic of labs.json lies within the file."""
    write_configuration(tmp_path, document, "Win2016/Datacenter.json")
    try:
        load_configuration(tmp_path)
    except ConfigurationError as problem:
        content = (tmp_path / "labs.json").read_bytes()
        for diagnostic in problem.diagnostics:
            assert diagnostic.location is not None
            assert "\n" not in diagnostic.text() and names_file_once(diagnostic)
            assert (diagnostic.location.line or 1) <= content.count(b"\n") + content.count(b"\n\0") + 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.integers(0, 3), st.sampled_from(["SubscriptionId", "LabName", "ImagePaths", "ResourceGroup"]), st.integers(1, 4)
)
def test_the_place_of_a_wrong_value_is_the_value(tmp_path: Path, index: int, key: str, indent: int) -> None:
    """Exactly one value of one lab is wrong; the diagnostic points at its first character."""
    entries = [entry(LabName=f"lab{number}", ResourceGroup="rg") for number in range(4)]
    entries[index][key] = 424242
    text = json.dumps({"Labs": entries}, indent=indent)
    told = refused(write_configuration(tmp_path, text, "Win2016/Datacenter.json"))
    before, _, _ = text.partition("424242")
    place = f"labs.json:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}:"
    assert any(line.startswith(place) for line in told), told


def test_a_golden_image_may_say_whether_its_vms_are_generalized(tmp_path: Path) -> None:
    """In the metadata of its template, case-insensitive; any other value is reported with its location."""
    folder = write_configuration(tmp_path, {"Labs": [entry()]}, "Win2016/a.json", "Win2016/b.json", "Win2016/c.json")
    told = {"a": '{"metadata": {"imageOsState": "specialized"}}', "b": '{"metadata": {"imageOsState": "Generalized"}}'}
    for name, text in told.items():
        (folder / "GoldenImages" / "Win2016" / f"{name}.json").write_text(text)
    found = load_configuration(folder)
    assert [image.generalized for image in found.golden_images] == [False, True, None]
    (folder / "GoldenImages" / "Win2016" / "c.json").write_text('{"metadata": {\n "imageOsState": 5}}')
    with pytest.raises(ConfigurationError, match=r"c.json:2:18: error: .*imageOsState is 5, neither"):
        load_configuration(folder)
