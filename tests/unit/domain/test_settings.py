"""The stack configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.errors import ConfigurationError
from imagefactory.image_path import ImagePath
from imagefactory.settings import (
    CopySettings,
    Endpoints,
    FactoryLab,
    Policy,
    Settings,
    parse_settings,
    settings_from_stack_file,
)
from tests.unit.domain.builders import SUBSCRIPTION

FACTORY = {"subscriptionId": SUBSCRIPTION, "labName": "factory"}
CUSTOM = {
    "IMAGEFACTORY_RESOURCE_MANAGER": "http://127.0.0.1:1",
    "IMAGEFACTORY_BLOB_ENDPOINT": "http://127.0.0.1:2/{account}",
}


def refused(values: dict[str, Any], environment: dict[str, str] | None = None) -> str:
    """The faults of wrong settings."""
    with pytest.raises(ConfigurationError) as raised:
        parse_settings({"factory": FACTORY, **values}, environment or {})
    return str(raised.value)


def test_defaults() -> None:
    """Only the factory must be named."""
    read = parse_settings({"imagefactory:factory": json.dumps(FACTORY)}, CUSTOM)
    assert read == Settings(FactoryLab(SUBSCRIPTION, "factory"))
    assert (read.copy, read.storage_auth) == (CopySettings("ranged", None, None), "aad")
    assert read.policy.cross_region == "relay"


@pytest.mark.parametrize(("method", "effective"), [("ranged", "relay"), ("service", "direct")])
@pytest.mark.parametrize("given", [{"crossRegion": "relay"}, {}])
def test_what_cannot_be_checked_is_not_passed_on(method: str, effective: str, given: dict[str, str]) -> None:
    """The service's own copy checks no digest: then each account gets its copy from the factory, also in the plan."""
    read = parse_settings({"factory": FACTORY, "copy": {"method": method}, **given}, {})
    assert read.policy.cross_region == effective
    for other in ("direct", "refuse"):
        read = parse_settings({"factory": FACTORY, "copy": {"method": method}, "crossRegion": other}, {})
        assert read.policy.cross_region == other


def test_values_come_as_pulumi_gives_them_and_as_a_stack_file_has_them(tmp_path: Path) -> None:
    """JSON text in the program, plain values in the file; other namespaces are passed over."""
    values: dict[str, Any] = {
        "factory": {**FACTORY, "resourceGroup": "rg"},
        "keep": 3,
        "allowEmptyFactory": True,
        "labs": "labs.prod.json",
        "configuration": "conf",
        "cloud": "china",
        "copy": {"method": "service", "maxInFlight": 64, "maxMbps": 800},
        "storageAuth": "key",
        "crossRegion": "refuse",
        "pins": {"Win2016\\Datacenter.json": "Win2016_Datacenter-Jun-26-2026"},
    }
    as_text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    expected = Settings(
        FactoryLab(SUBSCRIPTION, "factory", "rg"),
        Path("conf"),
        "labs.prod.json",
        Policy(3, True, "refuse", {ImagePath.parse("win2016/datacenter.json"): "Win2016_Datacenter-Jun-26-2026"}),
        "china",
        Endpoints(),
        CopySettings("service", 64, 800),
        "key",
    )
    assert (
        parse_settings({f"imagefactory:{key}": text for key, text in as_text.items()} | {"azure:x": "1"}, {})
        == expected
    )
    file = tmp_path / "Pulumi.prod.yaml"
    config = {f"imagefactory:{key}": value for key, value in values.items()} | {"aws:region": "x"}
    file.write_text(json.dumps({"encryptionsalt": "v1:x", "config": config}))
    assert settings_from_stack_file(file, {}) == expected


def test_all_faults_come_at_once() -> None:
    """Unknown keys with the nearest name, wrong values with what to write."""
    told = refused(
        {
            "factory": '{"subscriptionId": "x", "labname": "f"}',
            "keap": "3",
            "keep": "0",
            "allowEmptyFactory": "maybe",
            "cloud": "moon",
            "copy": {"maxMpbs": 5, "maxInFlight": 0, "method": "fast"},
            "storageauth": "key",
            "crossRegion": "never",
        }
    )
    for part in (
        '"x" cannot stand here',
        'Write "labName"',
        'Write "keep"',
        "imagefactory:keep: 0",
        "true or false",
        "moon",
        'Write "maxMbps"',
        "imagefactory:copy.maxInFlight: 0",
        "ranged or service",
        'Write "storageAuth"',
        "relay, direct or refuse",
    ):
        assert part in told
    assert len(told.splitlines()) == 11


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"keep": "-1"}, "keep"),
        ({"keep": "2.5"}, "keep"),
        ({"keep": "true"}, "keep"),
        ({"keep": "many"}, "keep"),
        ({"pins": {"../x.json": "image"}}, "pins"),
        ({"pins": {"Win2016/Datacenter.json": ""}}, "pins"),
        ({"factory": "{"}, "an object belongs"),
        ({"labs": ""}, "labs"),
        ({"cloud": "1"}, "usgovernment"),
        ({"endpoints": {"blob": "https://x"}}, "{account}"),
        ({"endpoints": {"blob": "http://example.org/{account}"}}, "https"),
        ({"endpoints": {"resourceManager": "http://example.org"}}, "https"),
        ({"endpoints": {"resourceManager": "https://user:secret@example.org"}}, "https"),
        ({"endpoints": {"resourceManager": "https://["}}, "https"),
        ({"endpoints": {"resourceManager": "https://example.org?"}}, "https"),
        ({"endpoints": {"resourceManager": "https://example.org#"}}, "https"),
        ({"endpoints": {"resourceManager": "https://example.org:99999"}}, "https"),
        ({"endpoints": {"blob": "https://{account}@example.org"}}, "{account}"),
        ({"copy": "ranged"}, "an object belongs"),
        ({"copy": {"maxMbps": 0}}, "at least 1"),
        ({"copy": {"maxMbps": 0.5}}, "imagefactory:copy.maxMbps"),
        ({"copy": {"maxMbps": "800"}}, "a whole number belongs"),
        ({"copy": {"maxMbps": True}}, "a whole number belongs"),
        ({"copy": {"maxInFlight": -1}}, "at least 1"),
        ({"copy": {"method": "RANGED"}}, "ranged or service"),
        ({"storageAuth": "true"}, "aad or key"),
        ({"storageAuth": ""}, "aad or key"),
        ({"crossRegion": "1"}, "relay, direct or refuse"),
    ],
)
def test_each_wrong_value_is_told(values: dict[str, Any], named: str) -> None:
    """One by one; tokens never travel in the clear to another machine."""
    assert named in refused(values)


def test_endpoints_of_the_custom_cloud_come_from_settings_then_environment() -> None:
    """Both must be had; the environment counts for this cloud only."""
    told = refused({"cloud": "custom"})
    assert "IMAGEFACTORY_RESOURCE_MANAGER" in told
    assert "IMAGEFACTORY_BLOB_ENDPOINT" in told
    own = {"resourceManager": "https://arm.example/"}
    read = parse_settings({"factory": FACTORY, "cloud": "custom", "endpoints": own}, CUSTOM)
    assert read.endpoints == Endpoints("https://arm.example", CUSTOM["IMAGEFACTORY_BLOB_ENDPOINT"])
    assert parse_settings({"factory": FACTORY}, CUSTOM).endpoints == Endpoints()


@pytest.mark.parametrize(
    "content", [b"config: [", b"config: 5", b"- 1", b"", b"\xff\xfe\x00", b"config: {imagefactory:factory: 1}", None]
)
def test_a_stack_file_that_cannot_be_used_is_a_fault_that_names_it(tmp_path: Path, content: bytes | None) -> None:
    """Missing, no YAML, no mapping, no text."""
    file = tmp_path / "Pulumi.x.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        settings_from_stack_file(file, {})
    assert file.as_posix() in str(raised.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.text() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["factory", "keep", "cloud", "endpoints", "copy", "storageAuth", "imagefactory:labs", "x:y", "x"]
        ),
        json_values,
    )
)
def test_any_values_are_settings_or_faults(values: dict[str, Any]) -> None:
    """Nothing but ConfigurationError is raised."""
    try:
        parse_settings(values, CUSTOM)
    except ConfigurationError as problem:
        assert problem.faults
