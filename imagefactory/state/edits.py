"""Edits of a stack's state: images that stand are added, a moved lab gets its new ids, images leave.

Functions over the document that `pulumi stack export` prints (deployment version 3); they change no argument. What they
return is complete: the parent, the provider and the stack of each image are in it, as `pulumi stack import` requires.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Set
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from imagefactory.configuration.image_paths import fold
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.moved_labs import MovedLab
from imagefactory.state.stack_state import (
    COPY,
    CUSTOM_IMAGE,
    DEFINITION,
    GALLERY,
    RELEASE,
    VERSION,
    name_in,
    resources_of,
)

API_VERSION = "2018-09-15"
"""The only version of custom images that azure-native knows."""

STACK, PROVIDER, COMPONENT = "pulumi:pulumi:Stack", "pulumi:providers:azure-native", "imagefactory:labs:LabImages"

_CREATED_FROM = ("author", "description", "tags", "vhd")
OUTPUTS = (
    *_CREATED_FROM,
    "creationDate",
    "customImagePlan",
    "dataDiskStorageInfo",
    "id",
    "isPlanAuthorized",
    "location",
    "managedImageId",
    "managedSnapshotId",
    "name",
    "provisioningState",
    "systemData",
    "type",
    "uniqueIdentifier",
    "vm",
)
"""The properties of azure-native's CustomImage, but for the version."""

Document = Mapping[str, Any]
Resource = dict[str, Any]


@dataclass(frozen=True)
class StackName:
    """A stack of a project, without its organization."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"

    def urn(self, kind: str, resource: str) -> str:
        """Return the URN of a resource; `kind` is its type, after those of its parents but for the stack."""
        return f"urn:pulumi:{self.name}::{self.project}::{kind}::{resource}"


@dataclass(frozen=True)
class ProviderInputs:
    """The inputs of the azure-native providers that the program declares, but for the subscription."""

    environment: str
    version: str


@dataclass(frozen=True)
class Adopted:
    """A custom image to add: the label of its lab, the lab, and the image as Azure listed it.

    The state may have it under a name in another case.
    """

    label: str
    lab: LabFacts
    image: StandingImage
    name: str


class EditedState:
    """A state being edited."""

    def __init__(self, document: Document, stack: StackName, provider: ProviderInputs) -> None:
        self._document, self._stack, self._provider = document, stack, provider
        self.resources: list[Resource] = deepcopy(resources_of(document))
        self._by_urn = {each["urn"]: each for each in self.resources if not each.get("delete")}

    def document(self) -> dict[str, Any]:
        """Return the state as edited."""
        deployment = {**(self._document.get("deployment") or {}), "resources": self.resources}
        return {**self._document, "deployment": deployment}

    def add_image(self, adopted: Adopted) -> None:
        """Add a custom image."""
        kind, name = f"{COMPONENT}${CUSTOM_IMAGE}", f"{adopted.label}/{adopted.name}"
        self.add(
            {
                "urn": self._stack.urn(kind, name),
                "custom": True,
                "id": adopted.image.id,
                "type": CUSTOM_IMAGE,
                "inputs": _inputs(adopted),
                "outputs": _outputs(adopted.image),
                "parent": self.component(COMPONENT, adopted.label),
                "provider": self.azure_native(adopted.lab.subscription_id),
            }
        )

    def add(self, resource: Resource) -> None:
        """Add what exists; finish what the state has and whose creation the engine did not see finish."""
        known = self._by_urn.get(resource["urn"])
        if known is None:
            self.resources.append(resource)
            self._by_urn[resource["urn"]] = resource
        elif known.pop("initErrors", None):
            # The engine updates, so puts again, what it did not see finish.
            known |= {key: resource[key] for key in ("id", "outputs")}

    def named(self, kind: str, name: str | None = None) -> list[str]:
        """Return the URNs of the resources of a type (with that name, whatever its letter case) that are not about to
        be deleted."""
        return [
            urn
            for urn, each in self._by_urn.items()
            if each["type"] == kind and (name is None or fold(name_in(urn)) == fold(name))
        ]

    def azure_native(self, subscription_id: str) -> str:
        """Return the reference to the provider of a subscription; add it if it is missing."""
        subscription = subscription_id.lower()
        outputs = {
            "environment": self._provider.environment,
            "subscriptionId": subscription,
            "version": self._provider.version,
        }
        provider = self._ensured(
            {
                "urn": self._stack.urn(PROVIDER, f"subscription-{subscription}"),
                "custom": True,
                "id": str(uuid.uuid4()),
                "type": PROVIDER,
                "inputs": {"__internal": {}, **outputs},
                "outputs": outputs,
            }
        )
        return f"{provider['urn']}::{provider['id']}"

    def component(self, kind: str, name: str) -> str:
        """Return the URN of a component; add it if it is missing."""
        urn = self._stack.urn(kind, name)
        return str(self._ensured({"urn": urn, "custom": False, "type": kind})["urn"])

    def _ensured(self, resource: Resource) -> Resource:
        """Return the child of the stack with that URN; if there is none, add `resource` right after the stack."""
        found = self._by_urn.get(resource["urn"])
        if found is None:
            place, root = self._root()
            found = {**resource, "parent": root}
            self.resources.insert(place + 1, found)
            self._by_urn[found["urn"]] = found
        return found

    def _root(self) -> tuple[int, str]:
        for place, each in enumerate(self.resources):
            if each["type"] == STACK:
                return place, each["urn"]
        root = self._stack.urn(STACK, f"{self._stack.project}-{self._stack.name}")
        self.resources.insert(0, {"urn": root, "custom": False, "type": STACK})
        return 0, root

    def move(self, moved: MovedLab) -> None:
        """Give the images of a lab, in the state under its old label, their present label and ids."""
        component, provider = self.component(COMPONENT, moved.label), self.azure_native(moved.facts.subscription_id)
        renamed = {self._stack.urn(COMPONENT, moved.old_label): component}
        for each in self.resources:
            kind, name = each["type"], name_in(each["urn"])
            if kind not in {COPY, CUSTOM_IMAGE, RELEASE} or not name.startswith(f"{moved.old_label}/"):
                continue
            image = name.rpartition("/")[2]
            renamed[each["urn"]] = self._stack.urn(f"{COMPONENT}${kind}", f"{moved.label}/{image}")
            _move_resource(each, moved, image)
            if kind == CUSTOM_IMAGE:
                each["provider"] = provider
        left = self._stack.urn(COMPONENT, moved.old_label)
        if left != component:
            self.resources = [each for each in self.resources if each["urn"] != left]
        for each in self.resources:
            _rename(each, renamed)
        self._by_urn = {each["urn"]: each for each in self.resources if not each.get("delete")}


def with_images(
    document: Document, stack: StackName, provider: ProviderInputs, images: Iterable[Adopted], moved: Iterable[MovedLab]
) -> dict[str, Any]:
    """Return the state with the ids of labs that moved, and with images added that it does not have."""
    state = EditedState(document, stack, provider)
    for lab in moved:
        state.move(lab)
    for image in images:
        state.add_image(image)
    return state.document()


def without_images(document: Document, names: Iterable[str]) -> dict[str, Any]:
    """Return the state without the copies, images and releases of these names (`<label>/<image>`)."""
    left = frozenset(names)
    resources = [
        each
        for each in resources_of(document)
        if each["type"] not in {COPY, CUSTOM_IMAGE, RELEASE} or name_in(each["urn"]) not in left
    ]
    return {**document, "deployment": {**(document.get("deployment") or {}), "resources": resources}}


def image_ids(document: Document) -> frozenset[str]:
    """Return the ids, in lower case, of all images, and of all galleries, definitions and versions."""
    kinds = {CUSTOM_IMAGE, GALLERY, DEFINITION, VERSION}
    return frozenset(str(each.get("id")).lower() for each in resources_of(document) if each["type"] in kinds)


def names_of(document: Document, ids: Set[str]) -> frozenset[str]:
    """Return the names (`<label>/<name>`) of the images with these ids, in lower case."""
    return frozenset(
        name_in(each["urn"])
        for each in resources_of(document)
        if each["type"] == CUSTOM_IMAGE and str(each.get("id")).lower() in ids
    )


def unfinished_images(document: Document) -> frozenset[str]:
    """Return the names (`<label>/<name>`) of the images whose creation or update the engine did not see finish."""
    return frozenset(
        name_in(each["urn"])
        for each in resources_of(document)
        if each["type"] == CUSTOM_IMAGE and each.get("initErrors") and not each.get("delete")
    )


def leaving_ids(document: Document) -> frozenset[str]:
    """Return the ids, in lower case, of resources that the engine deletes in its next run whatever is declared."""
    return frozenset(str(each.get("id")).lower() for each in resources_of(document) if each.get("delete"))


def _inputs(adopted: Adopted) -> dict[str, Any]:
    """Return what the program declares of an image that stands, whose other properties it does not compare.

    The location has to be here: azure-native adds it where it is missing, and then puts the image.
    """
    given = _outputs(adopted.image)
    return {
        **{key: given[key] for key in _CREATED_FROM if key in given},
        "azureApiVersion": API_VERSION,
        "labName": adopted.lab.name,
        "location": adopted.lab.region,
        "name": adopted.image.name,
        "resourceGroupName": adopted.lab.resource_group,
    }


def _outputs(image: StandingImage) -> dict[str, Any]:
    """Return the outputs that azure-native makes of Azure's answer: nothing that it does not say, or a refresh would
    find that it is gone."""
    flat = {**image.answer.get("properties", {}), **image.answer}
    known = {key: flat[key] for key in OUTPUTS if flat.get(key) is not None}
    return {**known, "azureApiVersion": API_VERSION}


def _move_resource(resource: Resource, moved: MovedLab, name: str) -> None:
    standing = moved.standing(name)
    inputs = resource.setdefault("inputs", {})
    image_id = standing.id if standing else f"{moved.facts.id}/customimages/{name}"
    if resource["type"] == CUSTOM_IMAGE:
        resource["id"] = image_id
        inputs |= {"labName": moved.facts.name, "resourceGroupName": moved.facts.resource_group}
        if standing:
            resource["outputs"] = _outputs(standing)
            if standing.usable:
                resource.pop("initErrors", None)  # the engine would put the image again
        return
    # The provider vhdcopy keeps ids in lower case.
    inputs["imageId"] = image_id.lower()
    inputs["destinationAccountId" if resource["type"] == COPY else "accountId"] = moved.account_id.lower()


def _rename(resource: Resource, renamed: Mapping[str, str]) -> None:
    for key in ("urn", "parent", "deletedWith"):
        if resource.get(key) in renamed:
            resource[key] = renamed[resource[key]]
    if "dependencies" in resource:
        resource["dependencies"] = [renamed.get(each, each) for each in resource["dependencies"]]
    if "propertyDependencies" in resource:
        resource["propertyDependencies"] = {
            key: [renamed.get(each, each) for each in urns or ()]
            for key, urns in resource["propertyDependencies"].items()
        }
