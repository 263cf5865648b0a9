"""The stack configuration (namespace `imagefactory`) as one value: each setting is one field of a model here.

Defines keys, defaults and diagnostics. Does not define the endpoints of a cloud: `imagefactory.azure` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_origin

import yaml
from pydantic import Field, PlainValidator, ValidationError, model_validator
from pydantic_core import PydanticKnownError

from imagefactory.configuration.copy_settings import ApiVersion, CopyOptions, CopySettings, StorageAuth
from imagefactory.configuration.endpoints import Endpoints
from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.json_documents import Steps, decode_text
from imagefactory.configuration.labs_file import Delivery, LabKey
from imagefactory.configuration.labs_matching import LabsMatching
from imagefactory.configuration.notify_settings import NotifySettings
from imagefactory.configuration.plan_rates import Rates
from imagefactory.configuration.pydantic_findings import (
    LabName,
    ResourceGroup,
    Section,
    Strict,
    SubscriptionId,
    structure_diagnostics,
)
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.rings import Rings
from imagefactory.diagnostics import Diagnostic, Location, error
from imagefactory.errors import ConfigurationError

NAMESPACE = "imagefactory"
ENDPOINT_VARIABLES = {"resourceManager": "IMAGEFACTORY_RESOURCE_MANAGER", "blob": "IMAGEFACTORY_BLOB_ENDPOINT"}
"""Environment variables for the endpoints of the cloud `custom`, used if the settings omit them."""

_CONSEQUENCE = "nothing is planned"
_Model = TypeVar("_Model", bound=Strict)

CrossRegion = Literal["relay", "direct", "refuse"]
DeleteAfterErrors = Literal["never", "otherLabs", "always"]


def _folder(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value))


def _image_path(value: object) -> ImagePath:
    return value if isinstance(value, ImagePath) else ImagePath.parse(_text(value))


def _revoked(value: object) -> RevokedImage:
    return value if isinstance(value, RevokedImage) else RevokedImage(_text(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    if not value:
        raise ValueError("is empty")
    return value


class FactoryLab(Section):
    """The lab whose storage account contains the factory images."""

    subscription_id: SubscriptionId
    lab_name: LabName
    resource_group: ResourceGroup = None

    @property
    def key(self) -> LabKey:
        """The identity of the lab."""
        return LabKey.of(self.subscription_id, self.lab_name, self.resource_group)


class Policy(Section):
    """Which factory images a lab must contain."""

    keep: Annotated[
        int | None,
        Field(ge=1, description="how many images of each image path labs keep, at least 1", examples=[3]),
    ] = None
    """How many of the newest images of each image path; None: all."""
    keep_days: Annotated[
        int | None,
        Field(ge=1, le=3650, description="how many days labs keep an image, at least 1", examples=[30]),
    ] = None
    """How old images may be that labs have in addition to the newest `keep`; None: no others."""
    keep_used_days: Annotated[
        int | None,
        Field(ge=1, le=3650, description="how many days labs keep an image in use, at least 1", examples=[30]),
    ] = None
    """For how long after the creation of a VM from it a lab keeps an image that it would lose; None: no longer."""
    allow_empty_factory: Annotated[
        bool, Field(description="true if an empty factory may empty the labs, else false")
    ] = False
    cross_region: Annotated[CrossRegion, Field(description="relay, direct or refuse")] = "relay"
    """How labs outside of the factory's region get VHDs: by one copy per region, one copy per account, or not at all.

    Never `relay` if the storage service makes the copies (`copy.method: service`).
    """
    pins: Annotated[
        dict[Annotated[ImagePath, PlainValidator(_image_path)], Annotated[str, Field(min_length=1)]],
        Field(
            description="an object of image paths (files), each with the name of the image that labs must contain",
            examples=[{"Win2016/Datacenter.json": "Win2016_Datacenter-Jun-26-2026"}],
        ),
    ] = {}  # noqa: RUF012 - pydantic copies a default
    """The one image that labs contain of an image path, by its name, even if there are newer ones."""
    soak_days: Annotated[
        int | None,
        Field(ge=1, le=3650, description="how many days after its saving labs get an image, at least 1", examples=[7]),
    ] = None
    """How old images must be that labs get; None: of any age. What a lab has stays."""
    rings: Rings = []  # noqa: RUF012 - pydantic copies a default
    """Waves of labs: each gets an image only after all labs of the one before hold it; empty: all labs at once."""
    revoked: Annotated[
        dict[Annotated[RevokedImage, PlainValidator(_revoked)], Annotated[str, Field(pattern=r"\S")]],
        Field(
            description="an object of image names, or image paths and names (path@name), each with the reason",
            examples=[{"Win2016/Datacenter.json@Win2016_Datacenter-Jun-26-2026": "it boots with a wrong key"}],
        ),
    ] = {}  # noqa: RUF012 - pydantic copies a default
    """Images that no lab gets any more, and why."""
    revoked_action: Annotated[Literal["remove", "report"], Field(description="remove or report")] = "remove"
    """What becomes of a revoked image in a lab: it is deleted by the next run, or stays and is named by a warning."""
    revoked_fallback: Annotated[Literal["none", "previous"], Field(description="none or previous")] = "none"
    """What takes the place of a revoked image among those that `keep` or a pin gives: nothing, or an older one."""
    delivery: Annotated[Delivery, Field(description="customImage, gallery or both")] = "customImage"
    """How labs get images, unless their entries in labs.json have `Delivery`."""
    generation2: Annotated[Literal["linux", "all", "none"], Field(description="linux, all or none")] = "linux"
    """Which generation 2 images labs get as custom images, which have no generation: Windows never starts from one, a
    Linux disk with a boot loader for BIOS does."""
    gallery: Annotated[
        GallerySettings | None, Field(description="an object with id, or with name and resourceGroup")
    ] = None
    """The Compute Gallery of the stack; None: it has none."""


class StackBasics(Section):
    """What concerns a stack as a whole: its factory, its labs, and how storage accounts are accessed."""

    factory: Annotated[FactoryLab, Field(description="an object with subscriptionId and labName of the factory lab")]
    configuration: Annotated[Path, PlainValidator(_folder), Field(description="the configuration folder")] = Path(
        "Configuration"
    )
    labs: Annotated[str, Field(min_length=1, description="the name of a labs file in the configuration folder")] = (
        "labs.json"
    )
    labs_matching: Annotated[
        LabsMatching | None, Field(description="an object with names, subscriptions or tags, each a list")
    ] = None
    """Which labs of the labs file the stack serves; None: all."""
    storage_auth: Annotated[StorageAuth, Field(description="aad or key")] = "aad"
    """How storage accounts are accessed: with the identity of the run, or with their account keys."""


class Settings(StackBasics, Policy):
    """The settings of a stack."""

    cloud: Annotated[
        Literal["public", "usgovernment", "china", "custom"], Field(description="public, usgovernment, china or custom")
    ] = "public"
    endpoints: Annotated[Endpoints, Field(description="an object with resourceManager and blob")] = Endpoints()
    copying: Annotated[
        CopySettings, Field(alias="copy", description="an object with method, maxInFlight, maxMbps and verifyFirst")
    ] = CopySettings()
    max_deletes: Annotated[
        int | None,
        Field(ge=0, description="how many images a run may delete from labs and gallery, at least 0", examples=[50]),
    ] = None
    """A run that would delete more images stops before it declares anything; None: `planning.stacks.deletions`."""
    delete_after_errors: Annotated[DeleteAfterErrors, Field(description="never, otherLabs or always")] = "never"
    """From which labs a run deletes images if something failed in it: none, those where nothing failed, or all."""
    storage_api_version: ApiVersion = None
    rates: Annotated[
        Rates, Field(description="an object with copyMiBPerSecond, egressPerGiB and storagePerGiBMonth")
    ] = Rates()
    """With which a plan estimates duration and cost."""
    notify: Annotated[NotifySettings, Field(description="an object with url and format")] = NotifySettings()
    """Where and how notifications of runs are sent."""

    @model_validator(mode="after")
    def _without_unchecked_relays(self) -> Settings:
        """Replace `relay` for the storage service's copy operation, which does not verify digests."""
        if (self.cross_region, self.copying.method) == ("relay", "service"):
            object.__setattr__(self, "cross_region", "direct")  # a validator of a frozen model has no other way
        return self

    @property
    def copy_options(self) -> CopyOptions:
        """The options for the provider."""
        auth, version = self.storage_auth, self.storage_api_version
        return CopyOptions(storage_auth=auth, storage_api_version=version, **dict(self.copying))


def parse_settings(values: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Read the settings from a mapping of pulumi or of a stack file. Raises ConfigurationError with all diagnostics.

    Keys may omit `imagefactory:`, those of other namespaces are skipped, and values may be JSON strings.
    """
    return _parse(values, environment, None)


def settings_from_stack_file(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings from a `Pulumi.<stack>.yaml`. Raises ConfigurationError with all diagnostics."""
    return _parse(_stack_values(path), environment, Location(path.as_posix()))


def factory_from_stack_file(path: Path) -> FactoryLab | None:
    """Read only the factory of a stack file; None if the setting is missing, so the stack is of another project.

    Raises ConfigurationError if the file or that setting cannot be read.
    """
    value = _own(_stack_values(path)).get("factory")
    if value is None:
        return None
    location = Location(path.as_posix())
    return _validated(FactoryLab, value, lambda steps: _subject(("factory", *steps)), location)


def basics_from_stack_file(path: Path) -> StackBasics | None:
    """Read only what concerns a stack as a whole; None if it has no factory, so it is of another project.

    Raises ConfigurationError if the file or one of these settings cannot be read.
    """
    own = _own(_stack_values(path))
    if own.get("factory") is None:
        return None
    names = {field.alias for field in StackBasics.model_fields.values()}
    values = {name: value for name, value in own.items() if name in names}
    return _validated(StackBasics, values, _subject, Location(path.as_posix()))


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
    remedy = "Name an existing stack, or create one with `pulumi stack init`"
    try:
        content = yaml.safe_load(decode_text(path.read_bytes()))
        values = content.get("config") or {} if isinstance(content, dict) else None
        if not isinstance(values, dict):
            raise ValueError("it has no object named config")
    except OSError as problem:
        fact = f"cannot be read ({problem.strerror})"
        raise ConfigurationError([error("stack file", fact, _CONSEQUENCE, remedy, location)]) from None
    except (ValueError, yaml.YAMLError) as problem:
        mark = getattr(problem, "problem_mark", None)
        location = Location(path.as_posix(), mark.line + 1, mark.column + 1) if mark else location
        fact = f"is not a stack configuration: {getattr(problem, 'problem', None) or problem}"
        raise ConfigurationError([error("stack file", fact, _CONSEQUENCE, "Fix it", location)]) from None
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
    """Parse JSON, in which pulumi passes objects, numbers and booleans to a program."""
    if name in _STRINGS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


_STRINGS = frozenset(
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
            f"Set one of them to {Endpoints.model_fields[name].description}",
            location,
        )
        for name, key in (("resource_manager", "resourceManager"), ("blob", "blob"))
        if getattr(endpoints, name) is None
    ]
