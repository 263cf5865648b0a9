"""The diagnostics of a run, as the program passes them to the engine, which prints the severity of each."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pytest

from components.distribution import stopped_by
from imagefactory.configuration.loading import load_configuration
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.errors import ConfigurationError
from tests.unit.builders import write_configuration


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Severity and message of all that is logged."""
    lines: list[tuple[str, str]] = []
    monkeypatch.setattr(pulumi.log, "error", lambda message: lines.append(("error", message)))
    monkeypatch.setattr(pulumi.log, "warn", lambda message: lines.append(("warning", message)))
    return lines


def test_each_wrong_setting_is_one_error_and_its_message_does_not_repeat_the_severity(
    logged: list[tuple[str, str]],
) -> None:
    """The last error is the message of the exception, so the engine prints it too."""
    with pytest.raises(ConfigurationError) as raised:
        parse_settings({"keep": 0, "cloud": "moon"}, {})
    last = stopped_by(raised.value.diagnostics)
    assert isinstance(last, pulumi.RunError)
    told = [*(message for _, message in logged), str(last)]
    assert len(told) == 3 and {severity for severity, _ in logged} == {"error"}
    assert not any("error:" in message for message in told)


def test_a_warning_of_the_configuration_is_not_part_of_an_error(logged: list[tuple[str, str]], tmp_path: Path) -> None:
    """A golden image that no lab uses is a warning even if labs.json has errors."""
    document = {"Labs": [{"SubscriptionId": "x", "LabName": "team", "ImagePaths": ["Win2016"]}]}
    write_configuration(tmp_path, document, "Win2016/Datacenter.json", "Ubuntu/Jammy.json")
    with pytest.raises(ConfigurationError) as raised:
        load_configuration(tmp_path)
    last = stopped_by(raised.value.diagnostics)
    ((severity, message),) = logged
    assert severity == "warning" and "Ubuntu/Jammy.json: golden image: no lab uses it" in message
    assert "SubscriptionId" in str(last) and "\n" not in str(last)
