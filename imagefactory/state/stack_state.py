"""The resources of each image in the state of a stack, by resource name.

The program declares only images that are in the state, and kept images with the inputs that the state has
(docs/adr/0015, 0019). Parses what `pulumi stack export` prints; does not run it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.pydantic_findings import finding_fact
from imagefactory.errors import ImageFactoryError
from imagefactory.images import tags as image_tags
from imagefactory.observed.arm_ids import LAB
from imagefactory.plain_text import printable, redacted
from imagefactory.planning.galleries.planned import RecordedGallery, RecordedLab, RecordedVersion
from imagefactory.planning.labs.lab_labels import grouped
from imagefactory.planning.labs.planned_images import Recorded

COPY, CUSTOM_IMAGE, RELEASE = (
    "vhdcopy:index:VhdCopy",
    "azure-native:devtestlab:CustomImage",
    "vhdcopy:index:StagedVhdRelease",
)
GALLERY, DEFINITION, VERSION, LAB_GALLERY = (
    "azure-native:compute:Gallery",
    "azure-native:compute:GalleryImage",
    "azure-native:compute:GalleryImageVersion",
    "vhdcopy:index:LabGallery",
)
"""Their resources are named by what is unique in the gallery: nothing, `<definition>`, `<definition>/<version>`; the
last one by the label of its lab."""


class StateError(ImageFactoryError):
    """The state of the stack cannot be read or written."""


class NoStack(StateError):
    """The backend has no stack of that name."""


class _Exported(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _Resource(_Exported):
    urn: str = Field(pattern="^urn:pulumi:")
    type: str
    delete: bool = False
    id: str = ""
    inputs: dict[str, Any] | None = None


class _Deployment(_Exported):
    resources: list[dict[str, Any]] = Field(default_factory=list)


class _Export(_Exported):
    version: int | None = None
    deployment: _Deployment | None = None
    """None for a stack that never ran."""


_RESOURCES = TypeAdapter(list[_Resource])


_REQUIRED = {
    COPY: ("sourceUrl",),
    CUSTOM_IMAGE: ("labName", "resourceGroupName"),
    GALLERY: ("galleryName", "resourceGroupName"),
    DEFINITION: ("galleryName", "resourceGroupName", "galleryImageName"),
    VERSION: ("galleryName", "resourceGroupName", "galleryImageName", "galleryImageVersionName"),
    LAB_GALLERY: ("labId", "galleryId"),
}
"""The inputs without which nothing is known of a resource, and it cannot be declared."""
_REMEDY = "Compare it with: pulumi stack export"


@dataclass(frozen=True)
class StackState:
    """The inputs of the resources of each image: resource name (`<label>/<image>`) -> type -> inputs."""

    chains: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    gallery: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """The inputs of the resources of the Compute Gallery: type -> resource name -> inputs."""
    gallery_subscription: str = ""
    """The subscription of that gallery, in lower case; empty: the state has none of its resources."""
    subscriptions: Mapping[str, str] = field(default_factory=dict)
    """The subscription, in lower case, of each lab with a custom image, by its label."""

    @property
    def images(self) -> frozenset[str]:
        """Names of the chains with a custom image, finished or not."""
        return frozenset(name for name, chain in self.chains.items() if CUSTOM_IMAGE in chain)

    @property
    def recorded(self) -> dict[str, Recorded]:
        """What the plan needs to know of each of `images`."""
        return {name: _recorded(self.chains[name]) for name in self.images}

    @property
    def recorded_gallery(self) -> RecordedGallery:
        """What the plan needs to know of the resources of the gallery."""
        versions = {name: _recorded_version(name, each) for name, each in self.gallery.get(VERSION, {}).items()}
        placed = (each for kind in (GALLERY, DEFINITION, VERSION) for each in self.gallery.get(kind, {}).values())
        return RecordedGallery(
            gallery=bool(self.gallery.get(GALLERY)),
            definitions={fold(name): name for name in self.gallery.get(DEFINITION, {})},
            versions={fold(name): each for name, each in versions.items()},
            labs={label: _recorded_lab(each) for label, each in self.gallery.get(LAB_GALLERY, {}).items()},
            places=frozenset(
                (self.gallery_subscription, fold(each["resourceGroupName"]), fold(each["galleryName"]))
                for each in placed
            ),
        )

    @property
    def gallery_name(self) -> str:
        """The name of the gallery in the inputs of its resources; empty: the state has none."""
        found = (each for kind in (GALLERY, DEFINITION, VERSION) for each in self.gallery.get(kind, {}).values())
        return next((str(each["galleryName"]) for each in found), "")

    def of_lab(self, label: str) -> list[str]:
        """Return the names of the images of a lab, without its label."""
        return self._names.get(label, [])

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Labels of labs -> names of their images, sorted."""
        return grouped((name.rpartition("/")[0], name.rpartition("/")[2]) for name in sorted(self.chains))

    @staticmethod
    def of(resources: Iterable[Mapping[str, Any]]) -> StackState:
        """Return the state from the resources that `pulumi stack export` prints (`deployment.resources`).

        Raises `StateError` if one does not have their form.
        """
        chains: dict[str, dict[str, Mapping[str, Any]]] = {}
        gallery: dict[str, dict[str, Mapping[str, Any]]] = {}
        subscription, of_labs = "", {}
        try:
            found = _RESOURCES.validate_python(list(resources))
        except ValidationError as problem:
            raise unread(f"the export of the stack is not valid: resources{finding_fact(problem)}", _REMEDY) from None
        for resource in found:
            if resource.type in _REQUIRED.keys() | {RELEASE} and not resource.delete:
                name = name_in(resource.urn)
                inputs = resource.inputs or {}
                for key in _REQUIRED.get(resource.type, ()):
                    if not isinstance(inputs.get(key), str):
                        raise unread(f"the export of the stack is not valid: {name} has no {key}", _REMEDY)
                if resource.type in {COPY, CUSTOM_IMAGE, RELEASE}:
                    chains.setdefault(name, {})[resource.type] = inputs
                    if resource.type == CUSTOM_IMAGE and resource.id.count("/") > 2:
                        of_labs[name.rpartition("/")[0]] = resource.id.split("/")[2].lower()
                else:
                    gallery.setdefault(resource.type, {})[name] = inputs
                    place = str(inputs["galleryId"]) if resource.type == LAB_GALLERY else resource.id
                    subscription = place.split("/")[2].lower() if place.count("/") > 2 else subscription
        return StackState(chains, gallery, subscription, of_labs)


def _recorded(chain: Mapping[str, Mapping[str, Any]]) -> Recorded:
    whole = chain.keys() >= {COPY, CUSTOM_IMAGE, RELEASE}
    inputs = chain[CUSTOM_IMAGE]
    found = inputs.get("tags")
    tags = image_tags.read(found if isinstance(found, dict) else None)
    return Recorded(
        attempt=tags.attempt,
        vhd_name=str(chain[COPY].get("sourceUrl")).rpartition("/")[2] if whole else None,
        resource_group=inputs["resourceGroupName"],
        image_path=ImagePath.read(tags.image_path),
        account_id=str(chain.get(COPY, {}).get("destinationAccountId", "")),
        stack=tags.stack,
    )


def _recorded_version(key: str, inputs: Mapping[str, Any]) -> RecordedVersion:
    found = inputs.get("tags")
    tags = image_tags.read(found if isinstance(found, dict) else None)
    return RecordedVersion(key, tags.attempt, tags.stack, ImagePath.read(tags.image_path))


def _recorded_lab(inputs: Mapping[str, Any]) -> RecordedLab:
    lab = LAB.parse(inputs["labId"])
    listed = inputs.get("definitions")
    names = (each.get("name") for each in listed if isinstance(each, dict)) if isinstance(listed, list) else ()
    return RecordedLab(
        lab.resource_group if lab else "", frozenset(fold(name) for name in names if isinstance(name, str))
    )


def parsed(export: bytes) -> dict[str, Any]:
    """Return the document that `pulumi stack export` prints. Raises `StateError` if it does not have its form."""
    try:
        document = json.loads(export)
        json.dumps(document, ensure_ascii=False).encode()  # fails for half of a surrogate pair, which is no text
        found = _Export.model_validate(document)
    except ValidationError as problem:
        raise unread(f"the export of the stack is not valid: {finding_fact(problem)}", _REMEDY) from None
    except (ValueError, RecursionError):
        raise unread("the export of the stack is not JSON", _REMEDY) from None
    if found.version is None and found.deployment is None:
        raise unread("the export of the stack is not valid: version and deployment are missing", _REMEDY)
    return dict(document)


def resources_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the resources of a document that `parsed` returned; empty for a stack that never ran."""
    return list((document.get("deployment") or {}).get("resources") or ())


def name_in(urn: str) -> str:
    """Return the name of the resource with that URN; that of an image's resources is `<label>/<image>`."""
    return urn.rpartition("::")[2]


def state_of(export: bytes) -> StackState:
    """Return the state from what `pulumi stack export` prints. Raises `StateError`."""
    return StackState.of(resources_of(parsed(export)))


def unread(reason: str, remedy: str = "") -> StateError:
    """Return the error about a state that cannot be read."""
    fact = "state: cannot read which images the stack contains; nothing is declared or deleted"
    # As the command words it: github.com/pulumi/pulumi, pkg/cmd/pulumi/stack (seen with 3.259).
    text = printable(f"{fact}: {redacted(reason)}{remedy and f'. {remedy}'}")
    return NoStack(text) if reason.startswith("no stack named") else StateError(text)
