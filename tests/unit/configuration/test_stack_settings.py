"""The stack configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.endpoints import Endpoints
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.pydantic_findings import Strict
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.stack_settings import (
    CopyOptions,
    CopySettings,
    FactoryLab,
    Settings,
    parse_settings,
    settings_from_stack_file,
)
from imagefactory.errors import ConfigurationError
from tests.unit.builders import SUBSCRIPTION, json_values, names_file_once

ROOT = Path(__file__).parents[3]

FACTORY = {"subscriptionId": SUBSCRIPTION, "labName": "factory"}
CUSTOM = {
    "IMAGEFACTORY_RESOURCE_MANAGER": "http://127.0.0.1:1",
    "IMAGEFACTORY_BLOB_ENDPOINT": "http://127.0.0.1:2/{account}",
}


def refused(values: dict[str, Any], environment: dict[str, str] | None = None) -> str:
    """The diagnostics of wrong settings."""
    with pytest.raises(ConfigurationError) as raised:
        parse_settings({"factory": FACTORY, **values}, environment or {})
    return str(raised.value)


def test_defaults() -> None:
    """Only the factory must be named."""
    read = parse_settings({"imagefactory:factory": json.dumps(FACTORY)}, CUSTOM)
    assert read == Settings(factory=FactoryLab(subscription_id=SUBSCRIPTION, lab_name="factory"))
    assert (read.copying, read.storage_auth) == (CopySettings(method="ranged"), "aad")
    assert read.cross_region == "relay"


@pytest.mark.parametrize(("method", "effective"), [("ranged", "relay"), ("service", "direct")])
@pytest.mark.parametrize("given", [{"crossRegion": "relay"}, {}])
def test_what_cannot_be_checked_is_not_passed_on(method: str, effective: str, given: dict[str, str]) -> None:
    """The service's copy operation verifies no digest, so each account copies from the factory."""
    read = parse_settings({"factory": FACTORY, "copy": {"method": method}, **given}, {})
    assert read.cross_region == effective
    for other in ("direct", "refuse"):
        read = parse_settings({"factory": FACTORY, "copy": {"method": method}, "crossRegion": other}, {})
        assert read.cross_region == other


def test_values_come_as_pulumi_gives_them_and_as_a_stack_file_has_them(tmp_path: Path) -> None:
    """JSON strings in the program, plain values in the file; other namespaces are skipped."""
    values: dict[str, Any] = {
        "factory": {**FACTORY, "resourceGroup": "rg"},
        "keep": 3,
        "allowEmptyFactory": True,
        "maxDeletes": 0,
        "labs": "labs.prod.json",
        "configuration": "conf",
        "cloud": "china",
        "copy": {"method": "service", "maxInFlight": 64, "maxMbps": 800},
        "storageAuth": "key",
        "storageApiVersion": "2020-10-02",
        "crossRegion": "refuse",
        "pins": {"Win2016\\Datacenter.json": "Win2016_Datacenter-Jun-26-2026"},
        "revoked": {"win2016\\datacenter.json@BAD": "a virus", "worse": "a leak"},
        "revokedAction": "report",
        "soakDays": 7,
        "keepDays": 30,
        "revokedFallback": "previous",
    }
    as_text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    expected = Settings(
        factory=FactoryLab(subscription_id=SUBSCRIPTION, lab_name="factory", resource_group="rg"),
        configuration=Path("conf"),
        labs="labs.prod.json",
        keep=3,
        allow_empty_factory=True,
        max_deletes=0,
        cross_region="refuse",
        pins={ImagePath.parse("win2016/datacenter.json"): "Win2016_Datacenter-Jun-26-2026"},
        revoked={RevokedImage("Win2016/Datacenter.json@bad"): "a virus", RevokedImage("worse"): "a leak"},
        revoked_action="report",
        soak_days=7,
        keep_days=30,
        revoked_fallback="previous",
        cloud="china",
        copying=CopySettings(method="service", max_in_flight=64, max_mbps=800),
        storage_auth="key",
        storage_api_version="2020-10-02",
    )
    assert (
        parse_settings({f"imagefactory:{key}": text for key, text in as_text.items()} | {"azure:x": "1"}, {})
        == expected
    )
    file = tmp_path / "Pulumi.prod.yaml"
    config = {f"imagefactory:{key}": value for key, value in values.items()} | {"aws:region": "x"}
    file.write_text(json.dumps({"encryptionsalt": "v1:x", "config": config}))
    assert settings_from_stack_file(file, {}) == expected


def test_all_diagnostics_are_reported_together() -> None:
    """Unknown keys with the most similar name, invalid values with a valid one."""
    told = refused(
        {
            "factory": '{"subscriptionId": "x", "labname": "f"}',
            "keap": "3",
            "keep": "0",
            "allowEmptyFactory": "maybe",
            "maxDeletes": "-1",
            "cloud": "moon",
            "copy": {"maxMpbs": 5, "maxInFlight": 0, "method": "fast"},
            "storageauth": "key",
            "crossRegion": "never",
        }
    )
    for part in (
        '"x" is not valid',
        'Write "labName"',
        'Write "keep"',
        "imagefactory:keep: 0",
        "imagefactory:maxDeletes: -1",
        "true or false",
        "moon",
        'Write "maxMbps"',
        "imagefactory:copy.maxInFlight: 0",
        "ranged or service",
        'Write "storageAuth"',
        "relay, direct or refuse",
    ):
        assert part in told
    assert len(told.splitlines()) == 12


@pytest.mark.parametrize(
    ("values", "named"),
    [
        *(({"keep": value}, "keep") for value in ("-1", "2.5", "true", "many")),
        ({"pins": {"../x.json": "image"}}, "pins"),
        ({"pins": {"Win2016/Datacenter.json": ""}}, "pins"),
        *(
            ({"revoked": value}, "revoked")
            for value in ({"": "why"}, {"a@": "why"}, {"../x@a": "why"}, {"a": ""}, {"a": " "})
        ),
        ({"revoked": {"a": 5}}, "expected a string, got a number"),
        *(({key: value}, key) for key in ("soakDays", "keepDays") for value in ("0", "3651", "1.5")),
        ({"revokedAction": "delete"}, "remove or report"),
        ({"revokedFallback": "older"}, "none or previous"),
        ({"factory": "{"}, "expected an object"),
        ({"pins": {5: "image"}}, "expected a string, got a number"),
        ({"labs": ""}, "labs"),
        ({"configuration": ""}, '"" is not valid'),
        ({"configuration": 5}, "expected a string, got a number"),
        ({"storage_auth": "key"}, 'unknown key "storage_auth"'),
        ({"copying": {}}, 'unknown key "copying"'),
        ({"copy": {"max_mbps": 5}}, 'unknown key "max_mbps"'),
        ({"cloud": "1"}, "usgovernment"),
        ({"endpoints": {"blob": "https://x"}}, "{account}"),
        ({"endpoints": {"blob": "http://example.org/{account}"}}, "https"),
        *(
            ({"endpoints": {"resourceManager": url}}, "https")
            for url in (
                *("http://example.org", "https://user:secret@example.org", "https://["),
                *("https://example.org?", "https://example.org#", "https://example.org:99999"),
            )
        ),
        ({"endpoints": {"blob": "https://{account}@example.org"}}, "{account}"),
        ({"copy": "ranged"}, "expected an object"),
        ({"copy": {"maxMbps": 0}}, "at least 1"),
        ({"copy": {"maxMbps": 0.5}}, "imagefactory:copy.maxMbps"),
        ({"copy": {"maxMbps": "800"}}, "expected a whole number"),
        ({"copy": {"maxMbps": True}}, "expected a whole number"),
        ({"copy": {"maxInFlight": -1}}, "at least 1"),
        ({"copy": {"method": "RANGED"}}, "ranged or service"),
        ({"storageAuth": "true"}, "aad or key"),
        ({"storageAuth": ""}, "aad or key"),
        ({"storageApiVersion": "latest"}, "a version of the storage service"),
        ({"crossRegion": "1"}, "relay, direct or refuse"),
    ],
)
def test_each_invalid_value_is_reported(values: dict[str, Any], named: str) -> None:
    """Each value alone; tokens are never sent unencrypted to another machine."""
    assert named in refused(values)


def test_endpoints_of_the_custom_cloud_come_from_settings_then_environment() -> None:
    """Both are required; the environment applies only to this cloud."""
    told = refused({"cloud": "custom"})
    assert "IMAGEFACTORY_RESOURCE_MANAGER" in told
    assert "IMAGEFACTORY_BLOB_ENDPOINT" in told
    own = {"resourceManager": "https://arm.example/"}
    read = parse_settings({"factory": FACTORY, "cloud": "custom", "endpoints": own}, CUSTOM)
    assert read.endpoints == Endpoints(
        resource_manager="https://arm.example", blob=CUSTOM["IMAGEFACTORY_BLOB_ENDPOINT"]
    )
    assert parse_settings({"factory": FACTORY}, CUSTOM).endpoints == Endpoints()


@pytest.mark.parametrize(
    "content", [b"config: [", b"config: 5", b"- 1", b"", b"\xff\xfe\x00", b"config: {imagefactory:factory: 1}", None]
)
def test_a_stack_file_that_cannot_be_used_is_a_diagnostic_that_names_it(tmp_path: Path, content: bytes | None) -> None:
    """It is missing, or not YAML, not an object, or not text."""
    file = tmp_path / "Pulumi.x.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        settings_from_stack_file(file, {})
    assert str(raised.value).count(file.name) == 1
    assert all(names_file_once(diagnostic) for diagnostic in raised.value.diagnostics)


@given(
    st.dictionaries(
        st.sampled_from(
            ["factory", "keep", "cloud", "endpoints", "copy", "storageAuth", "imagefactory:labs", "x:y", "x"]
        ),
        json_values,
    )
)
def test_any_values_are_settings_or_diagnostics(values: dict[str, Any]) -> None:
    """Nothing but ConfigurationError is raised."""
    try:
        parse_settings(values, CUSTOM)
    except ConfigurationError as problem:
        assert problem.diagnostics


counts = st.none() | st.integers(1, 10**6)
options = st.builds(
    CopyOptions,
    method=st.sampled_from(["ranged", "service"]),
    max_in_flight=counts,
    max_mbps=counts,
    storage_auth=st.sampled_from(["aad", "key"]),
    storage_api_version=st.sampled_from([None, "2020-10-02"]),
)


@given(options, st.dictionaries(st.sampled_from(["resourceManager", "audience"]), st.text()))
def test_the_provider_reads_the_copy_options_that_the_program_gives_it(
    told: CopyOptions, other: dict[str, str]
) -> None:
    """Among its other properties; each is a string, as the engine requires."""
    properties = told.to_properties()
    assert CopyOptions.from_properties({**other, **properties}) == told
    assert all(isinstance(value, str) and value for value in properties.values())
    assert properties.keys() == {"copyMethod", "storageAuth"} | {
        key
        for key, value in (
            ("maxInFlight", told.max_in_flight),
            ("maxMbps", told.max_mbps),
            ("storageApiVersion", told.storage_api_version),
        )
        if value
    }


def test_the_properties_of_the_provider_are_those_that_states_hold() -> None:
    """Another name or value would update the provider of every existing stack."""
    told = CopyOptions(method="service", max_in_flight=64, max_mbps=800, storage_auth="key").to_properties()
    assert told == {"copyMethod": "service", "maxInFlight": "64", "maxMbps": "800", "storageAuth": "key"}
    assert CopyOptions().to_properties() == {"copyMethod": "ranged", "storageAuth": "aad"}


@pytest.mark.parametrize(
    "wrong", [{"copyMethod": "fast"}, {"storageAuth": "sas"}, {"maxInFlight": "many"}, {"maxMbps": "0"}]
)
def test_a_copy_option_that_is_wrong_is_named_without_its_value(wrong: dict[str, str]) -> None:
    """Any user of this machine could configure the provider."""
    (key, value) = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=key) as raised:
        CopyOptions.from_properties(wrong)
    assert value not in str(raised.value)


def keys_of(model: type[Strict], prefix: str = "") -> Iterator[str]:
    """Every setting of a model by its path; an object by its keys."""
    for name, setting in model.model_fields.items():
        key = f"{prefix}{setting.alias or name}"
        kind = setting.annotation
        if isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, Strict):
            yield from keys_of(kind, f"{key}.")
        else:
            yield key


def test_the_template_of_a_stack_has_every_setting_and_nothing_else() -> None:
    """Settings that are commented out count too: they are settings once the comment sign is removed."""
    text = (ROOT / "Pulumi.dev.yaml").read_text("utf-8")
    text = re.sub(r"^(    )# (?=\w+: )|^(  )# (?=imagefactory:|  )", r"\1\2", text, flags=re.MULTILINE)
    content = {name.removeprefix("imagefactory:"): value for name, value in yaml.safe_load(text)["config"].items()}
    objects = {key.partition(".")[0] for key in keys_of(Settings) if "." in key}
    told = {
        f"{name}.{key}" if name in objects else name for name, value in content.items() for key in value_keys(value)
    }
    assert told == set(keys_of(Settings))
    assert parse_settings({f"imagefactory:{name}": value for name, value in content.items()}, {})


def value_keys(value: Any) -> list[str]:
    """The keys of an object; one empty key for anything else."""
    return list(value) if isinstance(value, dict) else [""]
