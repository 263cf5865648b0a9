"""The stack configuration (namespace `imagefactory`) as one value: a setting is one field of one model here.

Defines keys, defaults and diagnostics. Does not know the endpoints of a cloud: `imagefactory.azure` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticKnownError

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.json_documents import Steps, decode_text
from imagefactory.configuration.pydantic_findings import (
    LabName,
    ResourceGroup,
    Strict,
    SubscriptionId,
    structure_diagnostics,
)
from imagefactory.diagnostics import Diagnostic, Location, error
from imagefactory.errors import ConfigurationError

NAMESPACE = "imagefactory"
ENDPOINT_VARIABLES = {"resourceManager": "IMAGEFACTORY_RESOURCE_MANAGER", "blob": "IMAGEFACTORY_BLOB_ENDPOINT"}
"""Environment variables that give the endpoints of the cloud `custom` where the settings do not."""

_CONSEQUENCE = "nothing is planned"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_Model = TypeVar("_Model", bound=Strict)

CopyMethod = Literal["ranged", "service"]
CrossRegion = Literal["relay", "direct", "refuse"]
StorageAuth = Literal["aad", "key"]


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


def _folder(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value))


def _image_path(value: object) -> ImagePath:
    return value if isinstance(value, ImagePath) else ImagePath.parse(_text(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    if not value:
        raise ValueError("is empty")
    return value


class _Section(Strict):
    """Stack files and pulumi name settings in camel case; Python code constructs models by their fields' names."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)


class FactoryLab(_Section):
    """The lab whose storage holds the factory images."""

    subscription_id: SubscriptionId
    lab_name: LabName
    resource_group: ResourceGroup = None


class Endpoints(_Section):
    """Endpoints given one by one; None: the cloud's own. `blob` holds `{account}` where the account name belongs."""

    resource_manager: Annotated[
        str | None,
        AfterValidator(lambda url: url and safe_url(url)),
        Field(
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


class Policy(_Section):
    """Which factory images a lab shall hold."""

    keep: Annotated[
        int | None,
        Field(ge=1, description="how many images of each image path labs hold, at least 1", examples=[3]),
    ] = None
    """The newest so many of each image path; None: all."""
    allow_empty_factory: Annotated[
        bool, Field(description="true if an empty factory may empty the labs, else false")
    ] = False
    cross_region: Annotated[CrossRegion, Field(description="relay, direct or refuse")] = "relay"
    """How labs of other regions than the factory's get VHDs: once per region and passed on, each by itself, or not.

    Never `relay` if the storage service copies by itself (`copy.method: service`).
    """
    pins: Annotated[
        dict[Annotated[ImagePath, PlainValidator(_image_path)], Annotated[str, Field(min_length=1)]],
        Field(
            description="an object of image paths (files), each with the name of the image that labs shall hold",
            examples=[{"Win2016/Datacenter.json": "Win2016_Datacenter-Jun-26-2026"}],
        ),
    ] = {}  # noqa: RUF012 - pydantic copies a default
    """Image paths of which labs hold one image only, by its name, however many newer ones there are."""


class CopySettings(_Section):
    """How VHDs are copied."""

    method: Annotated[CopyMethod, Field(description="ranged or service")] = "ranged"
    """By ranges, verified and resumable; or by the storage service's own copy."""
    max_in_flight: Annotated[
        int | None,
        Field(ge=1, description="how many requests may be in flight, at least 1", examples=[256]),
    ] = None
    """Requests of all copies together; None: the copier's own number."""
    max_mbps: Annotated[
        int | None,
        Field(ge=1, description="megabits per second of all copies, at least 1", examples=[4000]),
    ] = None
    """Megabits per second of all copies together; None: no cap."""


class CopyOptions(CopySettings):
    """What the provider `vhdcopy` is told of copying: the settings `copy`, and what opens storage accounts.

    Properties of a provider are texts, and stand in the state: their names and values must not change.
    """

    storage_auth: StorageAuth = "aad"

    def to_properties(self) -> dict[str, str]:
        """As properties of the provider; what is None is left out."""
        return {_property(name): str(value) for name, value in self if value is not None}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> CopyOptions:
        """From all properties of the provider. Raises `ValueError` with a phrase that names the one that is wrong."""
        told = {name: properties[_property(name)] for name in cls.model_fields if properties.get(_property(name))}
        try:
            return cls.model_validate(told, strict=False, by_name=True)
        except ValidationError as problem:
            wrong = problem.errors(include_url=False)[0]["loc"][0]
            raise ValueError(f"{_property(str(wrong))} cannot be used") from None


def _property(name: str) -> str:
    return "copyMethod" if name == "method" else to_camel(name)


class Settings(Policy):
    """The settings of a stack."""

    factory: Annotated[FactoryLab, Field(description="an object with subscriptionId and labName of the factory lab")]
    configuration: Annotated[Path, PlainValidator(_folder), Field(description="the configuration folder")] = Path(
        "Configuration"
    )
    labs: Annotated[str, Field(min_length=1, description="the name of a labs file in the configuration folder")] = (
        "labs.json"
    )
    cloud: Annotated[
        Literal["public", "usgovernment", "china", "custom"], Field(description="public, usgovernment, china or custom")
    ] = "public"
    endpoints: Annotated[Endpoints, Field(description="an object with resourceManager and blob")] = Endpoints()
    copying: Annotated[
        CopySettings, Field(alias="copy", description="an object with method, maxInFlight and maxMbps")
    ] = CopySettings()
    storage_auth: Annotated[StorageAuth, Field(description="aad or key")] = "aad"
    """What opens storage accounts: the run's own identity, or their account keys."""

    @model_validator(mode="after")
    def _without_unchecked_relays(self) -> Settings:
        """The storage service's own copy checks no digest, so nothing is read from a relay with it."""
        if (self.cross_region, self.copying.method) == ("relay", "service"):
            object.__setattr__(self, "cross_region", "direct")  # the only way in for a validator of a frozen model
        return self

    @property
    def copy_options(self) -> CopyOptions:
        """What the provider is told."""
        return CopyOptions(storage_auth=self.storage_auth, **dict(self.copying))


def parse_settings(values: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Read the settings from a mapping as pulumi or a stack file gives it (keys with or without `imagefactory:`,
    keys of other namespaces are passed over, values as they are or as JSON text).

    Raises ConfigurationError with all diagnostics.
    """
    return _parse(values, environment, None)


def settings_from_stack_file(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings from a whole `Pulumi.<stack>.yaml`. Raises ConfigurationError with all diagnostics."""
    return _parse(_stack_values(path), environment, Location(path.as_posix()))


def factory_from_stack_file(path: Path) -> FactoryLab | None:
    """The factory that a stack file names, whatever else it holds; None: it names none, so it is no stack of ours.

    Raises ConfigurationError where the file or that setting cannot be read.
    """
    value = _own(_stack_values(path)).get("factory")
    if value is None:
        return None
    location = Location(path.as_posix())
    return _validated(FactoryLab, value, lambda steps: _subject(("factory", *steps)), location)


def _validated(
    model: type[_Model], value: object, subject: Callable[[Steps], str], location: Location | None
) -> _Model:
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as problem:
        diagnostics = structure_diagnostics(problem, model, _CONSEQUENCE, subject, lambda _steps, _of_key: location)
        raise ConfigurationError(diagnostics) from None


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
    read = _validated(Settings, own, _subject, location)
    if read.cloud == "custom" and (diagnostics := _missing_endpoints(read.endpoints, location)):
        raise ConfigurationError(diagnostics)
    return read


def _plain(name: str, value: object) -> object:
    """pulumi hands objects, numbers and booleans to a program as JSON text."""
    if name in _TEXTS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


_TEXTS = frozenset(
    field.alias
    for field in Settings.model_fields.values()
    if field.annotation in {str, Path} or get_origin(field.annotation) is Literal
)


def _subject(steps: Steps) -> str:
    return f"setting {NAMESPACE}:{'.'.join(str(step) for step in steps)}" if steps else "stack configuration"


def _missing_endpoints(endpoints: Endpoints, location: Location | None) -> list[Diagnostic]:
    return [
        error(
            _subject(("endpoints", key)),
            f"is missing, and the environment variable {ENDPOINT_VARIABLES[key]} is not set",
            "the cloud 'custom' cannot be reached",
            f"Set one of both to {Endpoints.model_fields[name].description}",
            location,
        )
        for name, key in (("resource_manager", "resourceManager"), ("blob", "blob"))
        if getattr(endpoints, name) is None
    ]
