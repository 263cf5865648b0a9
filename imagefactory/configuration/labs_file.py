"""labs.json: which lab gets which golden images.

Defines the models of the file, from which the JSON Schema for editors is generated, and the identity of a target lab.
Does not access Azure, and uses only the paths of the golden images.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, ValidationError

from imagefactory.configuration.image_paths import ImagePath, Selector
from imagefactory.configuration.json_documents import JsonDocument, Steps, Tolerated
from imagefactory.configuration.pydantic_findings import (
    LabName,
    ResourceGroup,
    Strict,
    SubscriptionId,
    nearest,
    structure_diagnostics,
)
from imagefactory.diagnostics import Diagnostic, Location, error, warning

_CONSEQUENCE = "nothing is distributed"

Delivery = Literal["customImage", "gallery", "both"]
"""How a lab gets images: as custom images, by a Compute Gallery, or both."""


class LabEntry(Strict):
    """A target lab and the golden images that it gets."""

    subscription_id: SubscriptionId = Field(alias="SubscriptionId")
    lab_name: LabName = Field(alias="LabName")
    resource_group: ResourceGroup = Field(None, alias="ResourceGroup")
    image_paths: Annotated[
        list[str],
        Field(
            alias="ImagePaths",
            min_length=1,
            description="a list of golden images and folders of them",
            examples=[["Win2016/Datacenter.json", "Ubuntu"]],
        ),
    ]
    delivery: Delivery | None = Field(
        None, alias="Delivery", description="customImage, gallery or both, or omit the key for that of the stack"
    )
    tags: Annotated[
        list[Annotated[str, Field(pattern=r"\S")]],
        Field(
            alias="Tags",
            description="a list of texts by which stacks select labs (setting labsMatching)",
            examples=[["europe"]],
        ),
    ] = []  # noqa: RUF012 - pydantic copies a default


class LabsFile(Strict):
    """The file labs.json of an image factory: its target labs."""

    editor_schema: Annotated[
        str | None,
        Field(alias="$schema", description="the JSON Schema that an editor uses", examples=["labs.schema.json"]),
    ] = None
    labs: Annotated[
        list[LabEntry], Field(alias="Labs", min_length=1, description="a list with one object for each target lab")
    ]


KEYS = tuple(field.alias or name for model in (LabsFile, LabEntry) for name, field in model.model_fields.items())
"""All keys of the file, which PowerShell reads case-insensitively."""

_FIX = "or run `imagefactory validate --fix`"


class LabKey(NamedTuple):
    """The identity of a lab, in lower case because Azure compares all of it case-insensitively.

    The name of a lab is unique in a resource group, not in a subscription.
    """

    subscription_id: str
    lab_name: str
    resource_group: str = ""
    """Empty: not given."""

    @staticmethod
    def of(subscription_id: str, lab_name: str, resource_group: str | None) -> LabKey:
        """Return the key of a lab as a user wrote it."""
        return LabKey(subscription_id.lower(), lab_name.lower(), (resource_group or "").lower())

    def may_be(self, other: LabKey) -> bool:
        """Return whether both may mean the same lab: a resource group that is not given may be any."""
        groups = {self.resource_group, other.resource_group} - {""}
        return self[:2] == other[:2] and len(groups) < 2

    def label(self, resource_group: str = "") -> str:
        """Return the label of the lab: its name and 8 hex digits of the subscription's hash, such as `web@05d17100`.

        With a resource group, it is that of a lab which shares name and subscription with another one, such as
        `web.group@05d17100`: no lab name has a full stop.
        """
        subscription = hashlib.sha256(self.subscription_id.encode()).hexdigest()[:8]
        return f"{self.lab_name}{resource_group and f'.{resource_group.lower()}'}@{subscription}"


@dataclass(frozen=True)
class TargetLab:
    """An entry of labs.json."""

    subscription_id: str
    name: str
    resource_group: str | None
    selectors: tuple[Selector, ...]
    location: Location
    label: str = ""
    """A short, stable name for Pulumi resources and reports; by default without the resource group."""
    delivery: Delivery | None = None
    """None: that of the stack."""
    tags: tuple[str, ...] = ()
    """By which stacks select labs."""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.key.label())

    @property
    def key(self) -> LabKey:
        """The identity of the lab, whatever the case in the file."""
        return LabKey.of(self.subscription_id, self.name, self.resource_group)

    def takes(self, image_path: ImagePath) -> bool:
        """Return whether an entry of ImagePaths matches the image path."""
        return self.selector_of(image_path) is not None

    def selector_of(self, image_path: ImagePath) -> Selector | None:
        """Return the first entry of ImagePaths that matches the image path; None: no entry does."""
        return next((selector for selector in self.selectors if selector.matches(image_path)), None)


def tolerated(document: JsonDocument) -> list[Tolerated]:
    """Return the places that PowerShell accepts and the schema of the file does not, with their corrections."""
    found = document.tolerated()
    for steps, entries in _image_paths(document.value):
        if isinstance(entries, str):
            fact, harm = "is a string, not a list", "it is read as a list of one entry, but editors mark it as wrong"
            start, end = document.spans[steps]
            correction = f"[{document.text[start:end]}]"
            diagnostic = warning(_subject(steps), fact, harm, f"Write {correction}", document.location(steps))
            found.append(Tolerated(diagnostic, start, end, correction))
    return [
        replace(each, diagnostic=replace(each.diagnostic, remedy=f"{each.diagnostic.remedy}, {_FIX}")) for each in found
    ]


def _image_paths(value: object) -> Iterable[tuple[Steps, object]]:
    """Yield the value of each ImagePaths, and its place."""
    entries = value.get("Labs") if isinstance(value, dict) else None
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and "ImagePaths" in entry:
            yield ("Labs", index, "ImagePaths"), entry["ImagePaths"]


def _with_lists(value: Any) -> Any:
    """Return the document with a list for each ImagePaths that is a string."""
    value = deepcopy(value)
    for (labs, index, key), paths in list(_image_paths(value)):
        if isinstance(paths, str):
            value[labs][index][key] = [paths]
    return value


def read_labs(
    document: JsonDocument, golden_images: Iterable[ImagePath]
) -> tuple[tuple[TargetLab, ...], list[Diagnostic]]:
    """Return the target labs and all diagnostics of labs.json. Also checks the valid parts of invalid entries."""
    diagnostics = [*document.duplicates, *(place.diagnostic for place in tolerated(document))]
    document = replace(document, value=_with_lists(document.value))
    try:
        LabsFile.model_validate(document.value)
    except ValidationError as problem:
        diagnostics += structure_diagnostics(problem, LabsFile, _CONSEQUENCE, _subject, document.location)
    paths = tuple(golden_images)
    names = {"/".join(folder) for path in paths for folder in accumulate((part,) for part in path.parts)}
    labs: list[TargetLab] = []
    entries = document.value.get("Labs") if isinstance(document.value, dict) else None
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict):
            continue
        steps: Steps = ("Labs", index)
        lab = TargetLab(
            _text(entry, "SubscriptionId"),
            _text(entry, "LabName"),
            _text(entry, "ResourceGroup") or None,
            tuple(_selectors(document, (*steps, "ImagePaths"), entry.get("ImagePaths"), paths, names, diagnostics)),
            document.location(steps),
            delivery=next((each for each in get_args(Delivery) if each == entry.get("Delivery")), None),
            tags=tuple(each for each in _list(entry, "Tags") if isinstance(each, str)),
        )
        diagnostics += _identity_diagnostics(lab, labs, document.location((*steps, "LabName")))
        labs.append(lab)
    namesakes = Counter(lab.key.label() for lab in labs)
    told_apart = (
        replace(lab, label=lab.key.label(lab.key.resource_group)) if namesakes[lab.label] > 1 else lab for lab in labs
    )
    return tuple(told_apart), diagnostics


def _text(entry: dict[str, object], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _list(entry: dict[str, object], key: str) -> list[object]:
    value = entry.get(key)
    return value if isinstance(value, list) else []


def _subject(steps: Steps) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return path.removeprefix(".") or "labs.json"


def _selectors(
    document: JsonDocument,
    steps: Steps,
    entries: object,
    paths: tuple[ImagePath, ...],
    names: set[str],
    diagnostics: list[Diagnostic],
) -> Iterable[Selector]:
    """Yield the usable entries of one ImagePaths; report the others."""
    seen: dict[ImagePath, int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, str):
            continue
        subject, location = f'{_subject((*steps, index))} "{entry}"', document.location((*steps, index))
        try:
            selector = replace(Selector.parse(entry), location=location)
        except ValueError as reason:
            remedy = "Write a path relative to the image root, such as Win2016/Datacenter.json or Win2016"
            diagnostics.append(error(subject, str(reason), _CONSEQUENCE, remedy, location))
            continue
        if selector.path in seen:
            fact = f"the entry is listed twice, first in line {seen[selector.path]}"
            diagnostics.append(warning(subject, fact, "this entry has no effect", "Remove it", location))
            continue
        seen[selector.path] = location.line or 0
        if not any(selector.matches(path) for path in paths):
            meant = nearest(str(selector), names)
            remedy = f'Write "{meant}"' if meant else "Write the path of a golden image or of its folder"
            fact = "matches no golden image (folder and file names must match completely)"
            diagnostics.append(error(subject, fact, _CONSEQUENCE, remedy, location))
        yield selector


def _identity_diagnostics(lab: TargetLab, earlier: list[TargetLab], location: Location) -> Iterable[Diagnostic]:
    if not (lab.name and lab.subscription_id):
        return
    subject = f"lab {lab.name} of subscription {lab.subscription_id}"
    same = [other for other in earlier if other.key.may_be(lab.key)]
    if duplicate := next((other for other in same if other.key == lab.key), None):
        fact = f"the lab is listed twice, first in line {duplicate.location.line}"
        yield error(subject, fact, "it is unknown which entry applies", "Merge both entries into one", location)
    elif other := next(iter(same), None):
        fact = f"the lab is listed twice, first in line {other.location.line}, and one entry has no ResourceGroup"
        remedy = "Add ResourceGroup to both entries, or merge them into one if they mean the same lab"
        yield error(subject, fact, "it is unknown whether they mean the same lab", remedy, location)
    elif other := next((other for other in earlier if other.label == lab.label and other.key[:2] != lab.key[:2]), None):
        fact = f"its short name {lab.label} is the same as that of the lab of subscription {other.subscription_id}"
        consequence = "the resources of both labs would have the same names"
        yield error(subject, fact, consequence, "Move one of them to another stack", location)
