"""The stack configuration (namespace `imagefactory`) as one value.

Owns keys, defaults and faults of the settings. Refuses to know the endpoints of a cloud: `imagefactory_azure` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, Field, ValidationError

from imagefactory.errors import ConfigurationError
from imagefactory.faults import Fault, Location, error
from imagefactory.image_path import ImagePath
from imagefactory.json_text import Steps, decode_text
from imagefactory.structure import (
    LabName,
    ResourceGroup,
    Strict,
    SubscriptionId,
    structure_faults,
)

NAMESPACE = "imagefactory"
ENDPOINT_VARIABLES = {"resourceManager": "IMAGEFACTORY_RESOURCE_MANAGER", "blob": "IMAGEFACTORY_BLOB_ENDPOINT"}
"""Environment variables that give the endpoints of the cloud `custom` where the settings do not."""

_CONSEQUENCE = "nothing is planned"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


CopyMethod = Literal["ranged", "service"]
CrossRegion = Literal["relay", "direct", "refuse"]
StorageAuth = Literal["aad", "key"]


@dataclass(frozen=True)
class FactoryLab:
    """The lab whose storage holds the factory images."""

    subscription_id: str
    lab_name: str
    resource_group: str | None = None


@dataclass(frozen=True)
class Endpoints:
    """Endpoints given one by one; None: the cloud's own. `blob` holds `{account}` where the account name belongs."""

    resource_manager: str | None = None
    blob: str | None = None


@dataclass(frozen=True)
class Policy:
    """Which factory images a lab shall hold."""

    keep: int | None = None
    """The newest so many of each image path; None: all."""
    allow_empty_factory: bool = False
    """Whether an empty factory may empty the labs."""
    cross_region: CrossRegion = "relay"
    """How labs of other regions than the factory's get VHDs: once per region and passed on, each by itself, or not.

    Never `relay` if the storage service copies by itself (`copy.method: service`).
    """
    pins: Mapping[ImagePath, str] = field(default_factory=dict)
    """Image paths of which labs hold one image only, by its name, however many newer ones there are."""


@dataclass(frozen=True)
class CopySettings:
    """How VHDs are copied."""

    method: CopyMethod = "ranged"
    """By ranges, verified and resumable; or by the storage service's own copy."""
    max_in_flight: int | None = None
    """Requests of all copies together; None: the copier's own number."""
    max_mbps: int | None = None
    """Megabits per second of all copies together; None: no cap."""


@dataclass(frozen=True)
class Settings:
    """The settings of a stack."""

    factory: FactoryLab
    configuration: Path = Path("Configuration")
    labs: str = "labs.json"
    policy: Policy = Policy()
    cloud: Literal["public", "usgovernment", "china", "custom"] = "public"
    endpoints: Endpoints = Endpoints()
    copy: CopySettings = CopySettings()
    storage_auth: StorageAuth = "aad"
    """What opens storage accounts: the run's own identity, or their account keys."""


def safe_url(url: str) -> str:
    """An endpoint, without a trailing slash. Tokens travel to it: TLS, or a server on this machine.

    Raises `ValueError`, with a phrase that does not repeat the URL.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not an address") from None
    if not host or "@" in parts.netloc or {"?", "#"} & set(url):
        raise ValueError("not an address")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueError("not encrypted")
    return url.rstrip("/")


def safe_blob_url(url: str) -> str:
    """The same for storage accounts, with one `{account}` where the account's name belongs."""
    if url.count("{account}") != 1:
        raise ValueError("no place for the account")
    safe_url(url.replace("{account}", "account"))
    return url.rstrip("/")


def _image_path(text: str) -> str:
    ImagePath.parse(text)
    return text


class _Factory(Strict):
    subscription_id: SubscriptionId = Field(alias="subscriptionId")
    lab_name: LabName = Field(alias="labName")
    resource_group: ResourceGroup = Field(None, alias="resourceGroup")


class _Endpoints(Strict):
    resource_manager: Annotated[
        str | None,
        AfterValidator(lambda url: url and safe_url(url)),
        Field(
            alias="resourceManager",
            description="the https address of Azure Resource Manager (http for this machine only)",
            examples=["https://management.azure.com"],
        ),
    ] = None
    blob: Annotated[
        str | None,
        AfterValidator(lambda url: url and safe_blob_url(url)),
        Field(
            description="the https address of a storage account (http for this machine only) with {account} in it",
            examples=["https://{account}.blob.core.windows.net"],
        ),
    ] = None


class _Copy(Strict):
    method: Annotated[CopyMethod, Field(description="ranged or service")] = "ranged"
    max_in_flight: Annotated[
        int | None,
        Field(alias="maxInFlight", ge=1, description="how many requests may be in flight, at least 1", examples=[256]),
    ] = None
    max_mbps: Annotated[
        int | None,
        Field(alias="maxMbps", ge=1, description="megabits per second of all copies, at least 1", examples=[4000]),
    ] = None


class _Settings(Strict):
    factory: Annotated[_Factory, Field(description="an object with subscriptionId and labName of the factory lab")]
    configuration: Annotated[str, Field(min_length=1, description="the configuration folder")] = "Configuration"
    labs: Annotated[str, Field(min_length=1, description="the name of a labs file in the configuration folder")] = (
        "labs.json"
    )
    keep: Annotated[
        int | None,
        Field(ge=1, description="how many images of each image path labs hold, at least 1", examples=[3]),
    ] = None
    allow_empty_factory: Annotated[
        bool, Field(alias="allowEmptyFactory", description="true if an empty factory may empty the labs, else false")
    ] = False
    cloud: Annotated[
        Literal["public", "usgovernment", "china", "custom"], Field(description="public, usgovernment, china or custom")
    ] = "public"
    endpoints: Annotated[_Endpoints, Field(description="an object with resourceManager and blob")] = _Endpoints()
    copy_: Annotated[_Copy, Field(alias="copy", description="an object with method, maxInFlight and maxMbps")] = _Copy()
    storage_auth: Annotated[StorageAuth, Field(alias="storageAuth", description="aad or key")] = "aad"
    cross_region: Annotated[CrossRegion, Field(alias="crossRegion", description="relay, direct or refuse")] = "relay"
    pins: Annotated[
        dict[Annotated[str, AfterValidator(_image_path)], Annotated[str, Field(min_length=1)]],
        Field(
            description="an object of image paths (files), each with the name of the image that labs shall hold",
            examples=[{"Win2016/Datacenter.json": "Win2016_Datacenter-Jun-26-2026"}],
        ),
    ] = {}  # noqa: RUF012 - pydantic copies a default


_MODELS: dict[str | None, type[Strict]] = {
    None: _Settings,
    "factory": _Factory,
    "endpoints": _Endpoints,
    "copy": _Copy,
}
_TEXTS = frozenset({"configuration", "labs", "cloud", "storageAuth", "crossRegion"})


def parse_settings(values: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Read the settings from a mapping as pulumi or a stack file gives it (keys with or without `imagefactory:`,
    keys of other namespaces are passed over, values as they are or as JSON text).

    Raises ConfigurationError with all faults.
    """
    return _parse(values, environment, None)


def settings_from_stack_file(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings from a whole `Pulumi.<stack>.yaml`. Raises ConfigurationError with all faults."""
    return _parse(_stack_values(path), environment, Location(path.as_posix()))


def factory_from_stack_file(path: Path) -> FactoryLab | None:
    """The factory that a stack file names, whatever else it holds; None: it names none, so it is no stack of ours.

    Raises ConfigurationError where the file or that setting cannot be read.
    """
    value = _own(_stack_values(path)).get("factory")
    if value is None:
        return None
    try:
        read = _Factory.model_validate(value)
    except ValidationError as problem:
        location = Location(path.as_posix())
        faults = structure_faults(
            problem, {None: _Factory}, _CONSEQUENCE, lambda steps: _subject(("factory", *steps)), lambda *_: location
        )
        raise ConfigurationError(faults) from None
    return FactoryLab(read.subscription_id, read.lab_name, read.resource_group)


def _stack_values(path: Path) -> dict[str, object]:
    location = Location(path.as_posix())
    remedy = "Name a stack file that is there, or make one with `pulumi stack init`"
    try:
        content = yaml.safe_load(decode_text(path.read_bytes()))
        values = content.get("config") or {} if isinstance(content, dict) else None
        if not isinstance(values, dict):
            raise ValueError("it has no mapping named config")
    except OSError as problem:
        fact = f"cannot be read ({problem.strerror})"
        raise ConfigurationError([error("stack file", fact, _CONSEQUENCE, remedy, location)]) from None
    except (ValueError, yaml.YAMLError) as problem:
        mark = getattr(problem, "problem_mark", None)
        location = Location(path.as_posix(), mark.line + 1, mark.column + 1) if mark else location
        fact = f"is no stack configuration: {getattr(problem, 'problem', None) or problem}"
        raise ConfigurationError([error("stack file", fact, _CONSEQUENCE, "Correct it", location)]) from None
    return {str(key): value for key, value in values.items()}


def _own(values: Mapping[str, object]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    for key, value in values.items():
        namespace, separator, name = key.rpartition(":")
        if not separator or namespace == NAMESPACE:
            own[name] = _plain(name, value)
    return own


def _parse(values: Mapping[str, object], environment: Mapping[str, str], location: Location | None) -> Settings:
    own = _own(values)
    if own.get("cloud") == "custom" and isinstance(own.setdefault("endpoints", {}), dict):
        given = {
            key: environment[variable] for key, variable in ENDPOINT_VARIABLES.items() if environment.get(variable)
        }
        own["endpoints"] = {**given, **own["endpoints"]}
    try:
        read = _Settings.model_validate(own)
    except ValidationError as problem:
        faults = structure_faults(problem, _MODELS, _CONSEQUENCE, _subject, lambda _steps, _of_key: location)
        raise ConfigurationError(faults) from None
    if read.cloud == "custom" and (faults := list(_missing_endpoints(read.endpoints, location))):
        raise ConfigurationError(faults)
    return Settings(
        FactoryLab(read.factory.subscription_id, read.factory.lab_name, read.factory.resource_group),
        Path(read.configuration),
        read.labs,
        Policy(
            read.keep,
            read.allow_empty_factory,
            _cross_region(read),
            {ImagePath.parse(path): name for path, name in read.pins.items()},
        ),
        read.cloud,
        Endpoints(read.endpoints.resource_manager, read.endpoints.blob),
        CopySettings(read.copy_.method, read.copy_.max_in_flight, read.copy_.max_mbps),
        read.storage_auth,
    )


def _cross_region(read: _Settings) -> CrossRegion:
    """The storage service's own copy checks no digest, so nothing is read from a relay with it."""
    return "direct" if (read.cross_region, read.copy_.method) == ("relay", "service") else read.cross_region


def _plain(name: str, value: object) -> object:
    """pulumi hands objects, numbers and booleans to a program as JSON text."""
    if name in _TEXTS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _subject(steps: Steps) -> str:
    return f"setting {NAMESPACE}:{'.'.join(str(step) for step in steps)}" if steps else "stack configuration"


def _missing_endpoints(endpoints: _Endpoints, location: Location | None) -> list[Fault]:
    return [
        error(
            _subject(("endpoints", key)),
            f"is missing, and the environment variable {ENDPOINT_VARIABLES[key]} is not set",
            "the cloud 'custom' cannot be reached",
            f"Set one of both to {_Endpoints.model_fields[name].description}",
            location,
        )
        for name, key in (("resource_manager", "resourceManager"), ("blob", "blob"))
        if getattr(endpoints, name) is None
    ]
