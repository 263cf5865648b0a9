"""DevTest Labs and their custom images, as facts for the plan.

Lists the labs of each subscription and the images of each lab concurrently (API version 2018-09-15). A lab that cannot
be read, or that is not listed as Azure documents it, is returned as a `Diagnostic` and does not stop the others: one
invalid image makes its whole lab unread. Does not say what follows from it: that depends on the command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from itertools import chain
from time import monotonic
from typing import Any

from imagefactory.azure.core.answers import Answer, Tags, fitted, label, misfit
from imagefactory.azure.core.errors import CloudError, cloud_error
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.configuration.labs_file import LabKey
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.tags import read
from imagefactory.images.timestamps import only_reading
from imagefactory.observed.arm_ids import CUSTOM_IMAGE, LAB, STORAGE_ACCOUNT, ArmId
from imagefactory.observed.standing_labs import LabFacts, StandingImage

API_VERSION = "2018-09-15"

NO_ID_REMEDY = "Run again; if the error persists, recreate the resource with that id"


class _LabProperties(Answer):
    artifacts_storage_account: object = None
    """The ARM id of the lab's storage account; null or empty: it has none."""


class _Lab(Answer):
    id: object = None
    name: str
    location: str
    properties: _LabProperties


class _Vhd(Answer):
    image_name: str | None = None


class _ImageProperties(Answer):
    provisioning_state: str
    vhd: _Vhd | None = None
    """None: the image was created from a VM."""
    creation_date: str | None = None


class _Image(Answer):
    id: object = None
    name: str
    properties: _ImageProperties
    tags: Tags | None = None


async def lab_facts(
    arm: ResourceManager, factory: LabKey, targets: Iterable[LabKey]
) -> tuple[LabFacts | Diagnostic, dict[LabKey, LabFacts | Diagnostic]]:
    """Return the factory lab without its images, and each target lab with them, or why it cannot be read.

    A lab must be in its resource group, if one is given; a target may have the factory's name in another group.
    """
    targets = tuple(targets)
    subscriptions = sorted({key.subscription_id for key in (factory, *targets)})
    listed = dict(zip(subscriptions, await asyncio.gather(*(_labs_of(arm, s) for s in subscriptions)), strict=True))
    found = {key: _choose(key, listed[key.subscription_id]) for key in targets}
    labs = [(key, lab) for key, lab in found.items() if not isinstance(lab, Diagnostic)]
    complete = await asyncio.gather(*(_with_images(arm, key, lab) for key, lab in labs))
    found |= {key: facts for (key, _), facts in zip(labs, complete, strict=True)}
    return _choose(factory, listed[factory.subscription_id]), found


async def unlisted_labs(
    arm: ResourceManager, subscriptions: Iterable[str], listed: Set[LabKey]
) -> tuple[LabFacts | Diagnostic, ...]:
    """Return the labs of subscriptions that labs.json does not list, with ids, names and images, or why a subscription
    or a lab cannot be read; without labs whose images this identity may not read, which are of other teams."""
    found = await asyncio.gather(*(_unlisted_of(arm, each, listed) for each in sorted(set(subscriptions))))
    return tuple(chain.from_iterable(found))


async def find_image(arm: ResourceManager, image_id: str) -> StandingImage | None:
    """Return the custom image at an ARM id, or None. Raises `CloudError`, also if Azure returns another image."""
    subject = f"custom image '{image_id.rpartition('/')[2]}'"
    found = await arm.get(image_id, API_VERSION, _Image, subject=subject)
    if found is None:
        return None
    own = CUSTOM_IMAGE.parse(found.id)
    if own is None or own.text.lower() != image_id.lower() or own.name.lower() != found.name.lower():
        fact = CUSTOM_IMAGE.fact(f"the id in the response to GET {image_id},", found.id)
        raise cloud_error(subject, f"{fact} of that name", remedy=NO_ID_REMEDY)
    return _image(own, found)


async def images_of(arm: ResourceManager, lab_id: str) -> tuple[StandingImage, ...] | None:
    """Return the custom images of the lab at an ARM id; None: the lab does not exist. Raises `CloudError`."""
    return await _images(arm, lab_id, f"lab '{lab_id.rpartition('/')[2]}'")


async def restore_tags(arm: ResourceManager, image_id: str, tags: Mapping[str, str]) -> None:
    """Give the custom image at an ARM id these tags; those of other names stay. Raises `CloudError`.

    By PATCH, which changes nothing else (learn.microsoft.com, "Custom Images - Update": "Allows modifying tags of
    custom images. All other properties will be ignored").
    """
    subject = f"custom image '{image_id.rpartition('/')[2]}'"
    found = await arm.get(image_id, API_VERSION, _Image, subject=subject)
    own = {name.lower() for name in tags}
    others = {name: value for name, value in ((found.tags if found else None) or {}).items() if name.lower() not in own}
    await arm.patch(image_id, API_VERSION, Answer, subject=subject, body={"tags": {**others, **tags}})


async def settled_image(
    arm: ResourceManager,
    image_id: str,
    delay: Callable[[float], float],
    waits: Callable[[StandingImage], None] = lambda _: None,
) -> StandingImage | None:
    """Return the custom image at an ARM id once Azure has no operation in progress on it, or None.

    `delay` gives the seconds to the next request from those since the first; `waits` is called before each wait.
    Raises `CloudError`.
    """
    began = monotonic()
    while (image := await find_image(arm, image_id)) and image.in_progress:
        waits(image)
        await asyncio.sleep(delay(monotonic() - began))
    return image


async def _labs_of(arm: ResourceManager, subscription: str) -> list[dict[str, Any]] | Diagnostic:
    subject = f"subscription {subscription}"
    path = _labs_path(subscription)
    try:
        labs = await arm.list(path, API_VERSION, subject=subject)
        unnamed = next((index for index, lab in enumerate(labs or ()) if not label(lab)), None)
        if unnamed is not None:
            raise misfit(subject, f"GET {path}", '"name" is missing', f"lab {unnamed + 1}")
    except CloudError as refusal:
        return refusal.diagnostic
    if labs is None:
        fact = "does not exist, or this identity cannot see it"
        remedy = "Check SubscriptionId in labs.json, and that the identity has the Reader role there"
        return error(subject, fact, "", remedy)
    return labs


async def _unlisted_of(arm: ResourceManager, subscription: str, listed: Set[LabKey]) -> list[LabFacts | Diagnostic]:
    labs = await _labs_of(arm, subscription)
    if isinstance(labs, Diagnostic):
        return [labs]
    found = []
    for id in filter(None, map(LAB.of, labs)):
        key = LabKey.of(subscription, id.name, id.resource_group)
        if not {key, key._replace(resource_group="")} & listed:
            found.append(LabFacts(id.text, id.subscription_id, id.resource_group, id.name, "", None))
    return [lab for lab in await asyncio.gather(*(_readable(arm, each) for each in found)) if lab]


async def _readable(arm: ResourceManager, lab: LabFacts) -> LabFacts | Diagnostic | None:
    """Return a lab with its images, or why they cannot be listed; None: this identity may not."""
    try:
        return replace(lab, images=await images_of(arm, lab.id) or ())
    except CloudError as refusal:
        return None if refusal.status == 403 else refusal.diagnostic


def _labs_path(subscription: str) -> str:
    return f"/subscriptions/{subscription}/providers/Microsoft.DevTestLab/labs"


def _subject(key: LabKey, name: str) -> str:
    """Return the lab's name for diagnostics, with the resource group that tells it from a lab of the same name."""
    return f"lab '{name}'" + (f" of resource group '{key.resource_group}'" if key.resource_group else "")


def _choose(key: LabKey, labs: Iterable[dict[str, Any]] | Diagnostic) -> LabFacts | Diagnostic:
    """Return the only lab of that name (and group); a diagnostic if there is none or more than one."""
    if isinstance(labs, Diagnostic):
        return labs
    named = [(LAB.of(lab), lab) for lab in labs if label(lab).lower() == key.lab_name]
    matches = [(id, lab) for id, lab in named if id is None or key.resource_group in {"", id.resource_group.lower()}]
    if len(matches) == 1:
        return _lab(key, *matches[0])
    subject = f"lab '{key.lab_name}'"
    where = f"subscription {key.subscription_id}"
    where += f", resource group '{key.resource_group}'" if key.resource_group else ""
    if matches:
        groups = ", ".join(sorted(id.resource_group if id else "(unknown)" for id, _ in matches))
        fact = f"exists in {len(matches)} resource groups of {where}: {groups}"
        remedy = "Add ResourceGroup to its entry"
    else:
        fact, remedy = f"not found in {where}", "Check LabName and SubscriptionId, or the identity's Reader role there"
    return error(subject, fact, "", remedy)


async def _with_images(arm: ResourceManager, key: LabKey, lab: LabFacts) -> LabFacts | Diagnostic:
    subject = _subject(key, lab.name)
    try:
        images = await _images(arm, lab.id, subject)
    except CloudError as refusal:
        return refusal.diagnostic
    if images is None:
        return error(subject, "was deleted during this run", "", "Run again")
    return replace(lab, images=images)


async def _images(arm: ResourceManager, lab_id: str, subject: str) -> tuple[StandingImage, ...] | None:
    path = f"{lab_id}/customimages"
    listed = await arm.list(path, API_VERSION, subject=subject)
    if listed is None:
        return None
    return tuple(_listed_image(image, index, subject, f"GET {path}") for index, image in enumerate(listed))


def _listed_image(resource: Mapping[str, Any], index: int, subject: str, request: str) -> StandingImage:
    """Return an image as its lab lists it. Raises `CloudError`, also if it has an invalid id."""
    what = f"image '{name}'" if (name := label(resource)) else f"image {index + 1}"
    image = fitted(_Image, resource, subject, request, what)
    if id := CUSTOM_IMAGE.of(resource):
        return replace(_image(id, image), answer=resource)
    fact = CUSTOM_IMAGE.fact(f"the id of its {what} in the response to {request},", image.id)
    raise cloud_error(subject, f"{fact} of that name", remedy=NO_ID_REMEDY)


def _lab(key: LabKey, id: ArmId | None, resource: Mapping[str, Any]) -> LabFacts | Diagnostic:
    """Return a lab as listed, without images; a diagnostic if its id (None) or its storage account's is invalid."""
    name, request = label(resource), f"GET {_labs_path(key.subscription_id)}"
    subject = _subject(key, name)
    try:
        lab = fitted(_Lab, resource, subject, request)
    except CloudError as refusal:
        return refusal.diagnostic
    account = lab.properties.artifacts_storage_account
    if id is None:
        fact = LAB.fact(f"its id in the response to {request},", lab.id)
        return error(subject, f"{fact} of that name", "", NO_ID_REMEDY)
    storage = STORAGE_ACCOUNT.parse(account)
    if storage is None and account not in (None, ""):
        fact = STORAGE_ACCOUNT.fact(f"its artifactsStorageAccount in the response to {request},", account)
        return error(subject, fact, "", "Repair the lab in the portal, or remove its entry")
    return LabFacts(
        id=id.text,
        subscription_id=id.subscription_id,
        resource_group=id.resource_group,
        name=name,
        region=lab.location,
        storage_account_id=storage.text if storage else None,
    )


def _image(id: ArmId, image: _Image) -> StandingImage:
    tags = read(image.tags)
    return StandingImage(
        id=id.text,
        name=image.name,
        state=image.properties.provisioning_state,
        image_path=tags.image_path,
        source_vhd=tags.source_vhd,
        attempt=tags.attempt,
        vhd_url=image.properties.vhd.image_name if image.properties.vhd else None,
        saved_at=tags.saved_at,
        created=only_reading(image.properties.creation_date),
        stack=tags.stack,
    )
