"""JSON documents: encodings, and the location of every value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.json_documents import JsonError, Steps, parse_json
from imagefactory.diagnostics import Location

texts = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
layouts = st.sampled_from([(None, (", ", ": ")), (2, (",", ":")), (None, (" ,\t", "\r\n: ")), (1, (" ,", " :"))])


def _steps(value: Any, at: Steps = ()) -> list[tuple[Steps, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(at, value), *(found for key, item in inner for found in _steps(item, (*at, key)))]


def _index(text: str, place: Location) -> int:
    assert place.line is not None
    assert place.column is not None
    return sum(len(line) + 1 for line in text.split("\n")[: place.line - 1]) + place.column - 1


@given(documents, layouts, st.booleans(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_values_and_their_places_are_those_of_the_document(
    document: Any, layout: tuple[int | None, tuple[str, str]], ascii_only: bool, encoding: str
) -> None:
    """Parsing again at the reported location returns the value, for any layout and encoding."""
    text = json.dumps(document, indent=layout[0], separators=layout[1], ensure_ascii=ascii_only)
    parsed = parse_json(text.encode(encoding), "x.json", "")
    assert parsed.value == document
    for steps, value in _steps(document):
        found, _ = json.JSONDecoder().raw_decode(text, _index(text, parsed.location(steps)))
        assert found == value
        if steps and isinstance(steps[-1], str):
            key, _ = json.JSONDecoder().raw_decode(text, _index(text, parsed.location(steps, True)))
            assert key == steps[-1]


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_document_or_one_diagnostic(content: bytes) -> None:
    """All that the standard library accepts is accepted, except NaN and halves of surrogate pairs."""
    try:
        parse_json(content, "x.json", "")
    except JsonError as problem:
        assert problem.diagnostic.location is not None
        assert problem.diagnostic.location.file == "x.json"


def problem(text: str) -> str:
    """The diagnostic of a document that is not JSON."""
    with pytest.raises(JsonError) as raised:
        parse_json(text.encode(), "labs.json", "nothing is distributed")
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "1:1"),
        ("{\n  ,\n}", "2:3"),
        ('{"a": 1 "b": 2}', "1:9"),
        ("[,\n]", "1:2"),
        ("[1, /*x*/ ,\n]", "1:11"),
        ('[{"a": [1, , ]}]', "1:12"),
        ('{"a":,}', "1:6"),
        ("[1 /* ]", "1:4"),
        ("[1 /*/ ]", "1:4"),
        ("[1 / 2]", "1:4"),
        ("[1,", "1:4"),
        ("[1,}", "1:4"),
        ("[1, 2] 3", "1:8"),
        ('{\n "a": NaN}', "2:7"),
        ('["\\ud800"]', "1:2"),
        ("{'a': 1}", "1:2"),
        ("# comment\n{}", "1:1"),
        ("// comment", "1:11"),
        ('["open', "1:2"),
    ],
)
def test_a_syntax_error_is_reported_with_its_location(text: str, place: str) -> None:
    """The location has file, line and column, as editors count them."""
    told = problem(text)
    assert told.startswith(f"labs.json:{place}: error: not valid JSON: ") and "; nothing is distributed. " in told


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        (
            '{"a": 1 ,, }',
            "1:10: error: not valid JSON: expecting property name enclosed in double quotes, found ','",
        ),
        ("[1,,]", "1:4: error: not valid JSON: expecting value, found ','"),
        ('["open', "1:2: error: not valid JSON: unterminated string, found '\"'"),
    ],
)
def test_a_syntax_error_reads_the_same_on_every_python(text: str, fact: str) -> None:
    """Python 3.13 reports a comma before a closing bracket in other words and at another place than 3.10 to 3.12."""
    assert problem(text).startswith(f"labs.json:{fact};")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\xef\xbb\xbf\xff", b"caf\xe9", b"[" * 100_000])
def test_what_is_not_text_or_nested_too_deeply_is_rejected(content: bytes) -> None:
    """Half a UTF-16 unit, Latin-1, and a document that would exhaust the parser's stack."""
    with pytest.raises(JsonError):
        parse_json(content, "x.json", "")


def test_a_very_long_number_is_only_a_number() -> None:
    """Python cannot convert it to an int, but the document is parsed."""
    assert parse_json(b"9" * 9000, "x.json", "").value == float("inf")


def test_a_key_written_twice_names_both_places() -> None:
    """Other parsers silently use the last value."""
    parsed = parse_json(b'{\n"a": 1,\n"b": 2, "a": 3}', "x.json", "")
    assert [diagnostic.text().split(";")[0] for diagnostic in parsed.duplicates] == [
        'x.json:3:9: error: "a": the key is written twice, first in line 2'
    ]
