"""`Delivery` in labs.json: its values, and what is said of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.cli.main import main
from imagefactory.configuration.json_documents import parse_json
from imagefactory.configuration.labs_file import Delivery, read_labs
from imagefactory.configuration.loading import load_configuration
from imagefactory.errors import ConfigurationError
from tests.unit.builders import entry, json_values, write_configuration

IMAGE = "Win2016/Datacenter.json"
VALUES = get_args(Delivery)


values = json_values.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value))


@given(st.one_of(st.sampled_from(VALUES), values, st.sampled_from(["Gallery", "CUSTOMIMAGE", "none", ""])))
def test_another_value_is_an_error_at_its_line_and_the_lab_has_none(value: object) -> None:
    """Letter case counts, as in the settings; null is as if the key were missing."""
    text = json.dumps({"Labs": [entry(Delivery=value)]}, indent=1)
    document = parse_json(text.encode(), "labs.json", "nothing is distributed")
    (lab,), found = read_labs(document, ())
    errors = [each for each in found if each.subject == "Labs[0].Delivery"]
    if value is None or value in VALUES:
        assert not errors and lab.delivery == value
        return
    (wrong,) = errors
    assert lab.delivery is None and wrong.location
    line = next(number for number, each in enumerate(text.splitlines(), 1) if '"Delivery"' in each)
    assert wrong.location.line == line
    assert "customImage, gallery or both" in wrong.remedy and wrong.consequence == "nothing is distributed"


def test_a_key_in_another_case_is_read_and_fix_corrects_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As other keys; a wrong value is not corrected, because what was meant is unknown."""
    text = (
        '{"Labs": [{"SubscriptionId": "22222222-2222-2222-2222-22222222222a", "LabName": "team",\n'
        '"ImagePaths": ["Win2016"],\n"delivery": "gallery"}]}\n'
    )
    write_configuration(tmp_path, text, IMAGE)
    found = load_configuration(tmp_path)
    assert [lab.delivery for lab in found.labs] == ["gallery"]
    (told,) = (each for each in found.warnings if "delivery" in each.fact)
    assert told.location and (told.location.line, told.location.column) == (3, 1)
    monkeypatch.setattr("sys.argv", ["imagefactory", "validate", "--fix", "--configuration", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert (tmp_path / "labs.json").read_text() == text.replace('"delivery"', '"Delivery"')
    write_configuration(tmp_path, text.replace("gallery", "galery"))
    with pytest.raises(ConfigurationError, match="Write customImage, gallery or both"):
        load_configuration(tmp_path)
