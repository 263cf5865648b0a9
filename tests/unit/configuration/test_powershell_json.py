"""What PowerShell accepts in a document and strict JSON does not: read with a warning for each place, and corrected."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.json_documents import encode_as, parse_json
from imagefactory.configuration.labs_file import KEYS, read_labs, tolerated
from imagefactory.configuration.loading import fix_labs_file, load_configuration
from imagefactory.diagnostics import Severity
from imagefactory.errors import ConfigurationError
from tests.unit.builders import SUBSCRIPTION, entry, write_configuration

strings = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('/*",\\}]'), max_size=8)
labs_files = st.fixed_dictionaries(
    {
        "$schema": strings,
        "Labs": st.lists(
            st.fixed_dictionaries(
                {"SubscriptionId": strings, "LabName": strings, "ImagePaths": st.lists(strings, min_size=1) | strings}
            ),
        ),
    }
)
comments = st.sampled_from(
    ["/**/", "/* a\r\n * b */", '/* "x": [1,], // */', "// to the end\n", '//, "]\r\n', "/*//*/"]
)


class Writer:
    """Writes a document as a user of PowerShell may, and counts what strict JSON or the schema reject."""

    def __init__(self, data: st.DataObject) -> None:
        self._data, self.count = data, 0

    def text(self, value: Any, key: str = "") -> str:
        """The value with its members."""
        if isinstance(value, dict):
            return (
                "{"
                + self._items([f"{self._key(key)}{self._gap()}:{self.text(value[key], key)}" for key in value])
                + "}"
            )
        if isinstance(value, list):
            return "[" + self._items([self.text(item) for item in value]) + "]"
        self.count += key == "ImagePaths"
        return f"{self._gap()}{json.dumps(value)}{self._gap()}"

    def _items(self, items: list[str]) -> str:
        text = ",".join(items)
        trailing: bool = self._data.draw(st.booleans())
        if items and trailing:
            self.count += 1
            text += f"{self._gap()},"
        return text + self._gap()

    def _key(self, key: str) -> str:
        written = "".join(self._data.draw(st.sampled_from([char.lower(), char.upper()])) for char in key)
        written = self._data.draw(st.sampled_from([key, written]))
        self.count += written != key
        return f"{self._gap()}{json.dumps(written)}"

    def _gap(self) -> str:
        comment = self._data.draw(st.just("") | comments)
        self.count += bool(comment)
        return self._data.draw(st.sampled_from(["", " ", "\n\t"])) + comment


@given(labs_files, st.data())
def test_a_document_reads_the_same_with_comments_commas_and_keys_in_another_case(
    document: Any, data: st.DataObject
) -> None:
    """As many warnings as places, each within the file, and the corrected text is strict and has none."""
    writer = Writer(data)
    text = writer.text(document)
    parsed = parse_json(text.encode(), "labs.json", "", KEYS)
    places = tolerated(parsed)
    assert parsed.value == document and not parsed.duplicates
    assert len(places) == writer.count
    assert all(place.diagnostic.severity is Severity.WARNING for place in places)
    assert len({(place.diagnostic.location, place.start) for place in places}) == writer.count
    strict = parsed.corrected(places)
    lists = [{**lab, "ImagePaths": listed(lab["ImagePaths"])} for lab in document["Labs"]]
    assert json.loads(strict) == {**document, "Labs": lists}
    assert not tolerated(parse_json(strict.encode(), "labs.json", "", KEYS))


def listed(paths: str | list[str]) -> list[str]:
    """A string as a list of one."""
    return [paths] if isinstance(paths, str) else paths


TEXT = f"""// our labs
{{
  "labs": [ /* the first */
    {{
      "SUBSCRIPTIONID": "{SUBSCRIPTION}", // production
      // and its name
      "labName": "team//1",
      "imagepaths": "Win2016",
    }},
  ]
}}
"""
CORRECTED = f"""{{
  "Labs": [
    {{
      "SubscriptionId": "{SUBSCRIPTION}",
      "LabName": "team",
      "ImagePaths": ["Win2016"]
    }}
  ]
}}
"""


def folder(path: Path, text: str | bytes) -> Path:
    """A configuration with this labs file."""
    return write_configuration(path, text, "Win2016/Datacenter.json", name="Labs.json")


def test_each_place_is_a_warning_with_line_and_column(tmp_path: Path) -> None:
    """All of them are reported together, and the labs are read."""
    found = load_configuration(folder(tmp_path, TEXT.replace("//1", "")))
    (lab,) = found.labs
    assert lab.name == "team" and lab.takes(found.golden_images[0].path)
    told = [warning.text().replace(f"{tmp_path.as_posix()}/", "") for warning in found.warnings]
    assert [line.split("; ")[0] for line in told] == [
        "Labs.json:1:1: warning: a comment is not JSON",
        'Labs.json:3:3: warning: the key is written "labs"',
        "Labs.json:3:13: warning: a comment is not JSON",
        'Labs.json:5:7: warning: the key is written "SUBSCRIPTIONID"',
        f"Labs.json:5:{len(SUBSCRIPTION) + 29}: warning: a comment is not JSON",
        "Labs.json:6:7: warning: a comment is not JSON",
        'Labs.json:7:7: warning: the key is written "labName"',
        'Labs.json:8:7: warning: the key is written "imagepaths"',
        "Labs.json:8:21: warning: Labs[0].ImagePaths: is a string, not a list",
        "Labs.json:8:30: warning: a comma after the last value is not JSON",
        "Labs.json:9:6: warning: a comma after the last value is not JSON",
    ]
    assert all(line.endswith("or run `imagefactory validate --fix`.") for line in told)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_file_is_corrected_and_keeps_its_encoding_and_layout(tmp_path: Path, encoding: str, newline: str) -> None:
    """A second run changes nothing."""
    content = TEXT.replace("//1", "").replace("\n", newline).encode(encoding)
    file = folder(tmp_path, content) / "Labs.json"
    file.chmod(0o640)
    assert fix_labs_file(tmp_path) == 11
    assert file.read_bytes() == CORRECTED.replace("\n", newline).encode(encoding)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert load_configuration(tmp_path).warnings == ()
    assert fix_labs_file(tmp_path) == 0 and [each.name for each in tmp_path.glob("*abs*")] == ["Labs.json"]


@pytest.mark.parametrize("text", ["{", "[1 2]", b"\xff\xfe\x00", '{"Labs": [{"LabName": "a", "ImagePaths": ["x"]}]}'])
def test_a_file_without_correctable_places_is_kept(tmp_path: Path, text: str | bytes) -> None:
    """What a user must decide is left to the user."""
    file = folder(tmp_path, text) / "Labs.json"
    before = file.read_bytes()
    assert fix_labs_file(tmp_path) == 0 and file.read_bytes() == before


def test_a_key_written_twice_in_different_case_is_an_error(tmp_path: Path) -> None:
    """It is unknown which of them applies."""
    text = json.dumps({"Labs": [{**entry(), "labname": "other"}]})
    with pytest.raises(ConfigurationError, match=r'"labname": the key is written twice'):
        load_configuration(folder(tmp_path, text))
    fix_labs_file(tmp_path)
    assert (tmp_path / "Labs.json").read_text() == text


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_a_text_is_encoded_as_the_document_was(text: str, encoding: str) -> None:
    """With its byte order mark."""
    assert encode_as(text, "x".encode(encoding)) == text.encode(encoding)


@given(st.text(alphabet=st.sampled_from(list('{}[],:"/*\\ \n1aL')), max_size=30))
def test_no_text_reads_as_more_than_its_strict_part(text: str) -> None:
    """If a text is a document, its corrected text is one to the standard library, with the same value."""
    try:
        parsed = parse_json(text.encode(), "labs.json", "")
    except ValueError:
        return
    assert json.loads(parsed.corrected(parsed.tolerated())) == parsed.value or parsed.duplicates


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
    )
)
def test_a_string_is_never_read_as_a_list(value: Any) -> None:
    """Wherever it stands: at most as the one entry of ImagePaths."""
    labs, _ = read_labs(parse_json(json.dumps(value).encode(), "labs.json", "", KEYS), ())
    written = value.get("Labs") if isinstance(value, dict) else None
    entries = [each for each in written if isinstance(each, dict)] if isinstance(written, list) else []
    assert len(labs) == len(entries)
    for lab, each in zip(labs, entries, strict=True):
        paths = each.get("ImagePaths")
        assert len(lab.selectors) <= (len(paths) if isinstance(paths, list) else isinstance(paths, str))
