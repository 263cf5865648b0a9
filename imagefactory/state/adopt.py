"""Adoption: reads labs, gallery, factory and the state of a stack, decides, and edits the state in one step.

Writes nothing to Azure. Backs the state up first. `imagefactory.planning.stacks.adoption` decides what is taken over.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from imagefactory.aio.surely import surely
from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.observe import CloudFacts, gather_facts
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.loading import Configuration, labs_of_stack, load_of_stack
from imagefactory.configuration.pydantic_findings import nearest
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.errors import ConfigurationError
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.planning.galleries.inputs import GalleryInputs
from imagefactory.planning.galleries.planned import RecordedGallery
from imagefactory.planning.labs.moved_labs import MovedLab
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.stacks.adoption import Adoption, adoption, candidates
from imagefactory.planning.stacks.adoption_rules import AdoptionRules
from imagefactory.planning.stacks.gallery_adoption import gallery_adoption, gallery_candidates
from imagefactory.state.current_plan import current_plan
from imagefactory.state.edits import (
    Adopted,
    ProviderInputs,
    StackName,
    image_ids,
    leaving_ids,
    names_of,
    unfinished_images,
    with_images,
    without_images,
)
from imagefactory.state.gallery_edits import unfinished_parts, with_parts, without_parts
from imagefactory.state.pulumi_command import back_up, export, write
from imagefactory.state.stack_state import NoStack, StackState, StateError, parsed, resources_of
from imagefactory.telemetry.phases import phase

PUBLIC = "public"
"""azure-native's `environment` if the program passes none."""


@dataclass(frozen=True)
class AdoptRequest:
    """What to take over: the stack, its settings, and the options of the command."""

    stack: StackName
    settings: Settings
    labs: frozenset[str] = frozenset()
    """Labels or names in lower case; empty: all."""
    other: str | None = None
    """The stack whose images are taken over, too: of the same project, or `organization/project/stack`."""
    siblings: Mapping[str, Settings] = field(default_factory=dict)
    """The other stacks of this folder that have the same factory."""
    retire: bool = False

    def rules(self, held: Mapping[str, str]) -> AdoptionRules:
        """Return the rules for the plan; `held` are images in the states of further stacks, by id."""
        *_, project, name = (self.stack.project, *(self.other or "").split("/"))
        other = str(StackName(project, name)) if self.other else None
        return AdoptionRules(str(self.stack), other, held, self.retire)


@dataclass(frozen=True)
class Planned:
    """What adoption would do, and the states that it is based on, as exported."""

    request: AdoptRequest
    adoption: Adoption
    exported: bytes
    other_exported: bytes | None = None
    warnings: tuple[Diagnostic, ...] = ()
    backups: tuple[Path, ...] = ()
    """The files with the states as they were before; empty: nothing was changed."""
    inputs: GalleryInputs | None = None
    """Those of the gallery's parts; None: it does not exist or could not be read."""

    @property
    def images(self) -> int:
        """The number of images that are added to the state or change there."""
        moved = sum(len(lab.names) for lab in self.adoption.moved)
        return self.adoption.count("take over") + moved

    @property
    def parts(self) -> int:
        """The number of parts of the gallery that are added to the state."""
        return len(self.adoption.gallery.taken()) if self.adoption.gallery else 0


async def plan(request: AdoptRequest) -> Planned:
    """Read everything and decide. Raises `ImageFactoryError`."""
    configuration = load_of_stack(request.settings)
    _check_labs(request, configuration)
    further = [name for name in request.siblings if name != request.other and _meets(request, configuration, name)]
    facts, exported, other, held = await asyncio.gather(
        gather_facts(request.settings, configuration),
        export(request.stack.name),
        _export_if_any(request.other),
        asyncio.gather(*map(_export_if_any, further)),
    )
    states = {name: parsed(each) for name, each in zip(further, held, strict=True) if each}
    elsewhere = {image: name for name, document in states.items() for image in image_ids(document)}
    document = parsed(exported)
    found = _only(decide(request, configuration, facts, document, elsewhere), request.labs)
    inputs = gallery_inputs(request.settings, facts, document) if found.gallery else None
    return Planned(request, found, exported, other, tuple(_warnings(request, configuration, other)), inputs=inputs)


async def carry_out(planned: Planned) -> Planned:
    """Edit the state; if canceled while it is written, finish first.

    The other stack's images leave its state before: an image in two states could be deleted by one of them. Raises
    `StateError`, also if a state changed since `plan`.
    """
    gallery, stack = planned.adoption.gallery, planned.request.stack
    for name, before in ((stack.name, planned.exported), (planned.request.other, planned.other_exported)):
        if name and before is not None and await export(name) != before:
            raise StateError(f"stack {name}: its state changed meanwhile; nothing is taken over. Run again")
    taken = [Adopted(lab.label, lab.facts, image, name) for lab in planned.adoption.labs for name, image in lab.taken()]
    edited = _edited(planned.request, parsed(planned.exported), taken, planned.adoption.moved)
    if gallery and planned.inputs:
        edited = with_parts(edited, stack, _provider(planned.request.settings), planned.inputs, gallery.taken())
    writes = [(stack.name, planned.exported, edited)]
    if planned.other_exported is not None and planned.request.other:
        document = parsed(planned.other_exported)
        left = without_images(document, names_of(document, {one.image.id.lower() for one in taken}))
        left = without_parts(left, gallery) if gallery else left
        if left != document:
            writes.insert(0, (planned.request.other, planned.other_exported, left))
    backups = [back_up(name.replace("/", "."), exported, datetime.now(timezone.utc)) for name, exported, _ in writes]

    async def write_all() -> None:
        for (name, _, state), backup in zip(writes, backups, strict=True):
            with phase("write state"):
                await write(name, state, backup)

    with suppress(asyncio.CancelledError):  # not before it is done
        await surely(write_all())
    return replace(planned, backups=tuple(backups))


def decide(
    request: AdoptRequest,
    configuration: Configuration,
    facts: CloudFacts,
    document: Mapping[str, Any],
    held: Mapping[str, str],
) -> Adoption:
    """Return what becomes of the images in all labs, for a state as `pulumi stack export` prints it. Has no effects.

    `held` are the ids, in lower case, of images in the states of further stacks, with the stack.
    """
    rules = request.rules(held)

    def planned(state: StackState, more: Set[str] = frozenset(), in_gallery: RecordedGallery | None = None) -> Plan:
        return current_plan(configuration, facts, request.settings, state, str(request.stack), more, in_gallery)

    moved = planned(StackState.of(resources_of(document))).moved
    state = StackState.of(resources_of(_edited(request, document, moved=moved)))
    owned, leaving, gallery = state.recorded_gallery, leaving_ids(document), facts.gallery
    in_gallery = gallery_candidates(gallery, owned, rules) if isinstance(gallery, GalleryFacts) else None
    plan = planned(state, candidates(planned(state).labs, rules), in_gallery)
    found = adoption(
        plan,
        state.images,
        unfinished_images(document),
        leaving,
        moved,
        facts.catalog,
        request.settings,
        rules,
        facts.now,
    )
    parts = gallery_adoption(
        plan.gallery, owned, unfinished_parts(document), leaving, facts.catalog, request.settings, rules, facts.now
    )
    return replace(found, gallery=parts, is_gallery_unread=gallery is not None and plan.gallery is None)


def gallery_inputs(settings: Settings, facts: CloudFacts, document: Mapping[str, Any]) -> GalleryInputs | None:
    """Return the inputs of the gallery's parts, as the program declares them for a state; None: there is no gallery."""
    if settings.gallery is None or not isinstance(facts.gallery, GalleryFacts):
        return None
    account, name = facts.factory.storage_account_id or "", StackState.of(resources_of(document)).gallery_name
    now = datetime.now(timezone.utc)
    return GalleryInputs(facts.gallery, settings.gallery, facts.container_url, account, name, now)


def _edited(
    request: AdoptRequest,
    document: Mapping[str, Any],
    images: Iterable[Adopted] = (),
    moved: Iterable[MovedLab] = (),
) -> dict[str, Any]:
    return with_images(document, request.stack, _provider(request.settings), images, moved)


def _provider(settings: Settings) -> ProviderInputs:
    return ProviderInputs(cloud_of(settings).name or PUBLIC, importlib.metadata.version("pulumi-azure-native"))


def _check_labs(request: AdoptRequest, configuration: Configuration) -> None:
    names = {name for lab in configuration.labs for name in _names(lab)}
    for unknown in sorted(request.labs - names):
        meant = nearest(unknown, names)
        remedy = f"Write {meant}" if meant else "Write a name from labs.json"
        fact = "is not in labs.json"
        if any(unknown in _names(lab) for lab in configuration.others):
            fact, remedy = "is not matched by labsMatching of the stack", "Add it to labsMatching in the stack's file"
        raise ConfigurationError([error(f"lab '{unknown}'", fact, "nothing is taken over", remedy)])


def _names(lab: TargetLab) -> tuple[str, ...]:
    return lab.name.lower(), lab.label, lab.key.label()


def _warnings(request: AdoptRequest, configuration: Configuration, other: bytes | None) -> Iterator[Diagnostic]:
    if request.other is None:
        return
    subject = f"stack {request.other}"
    if other is None:
        fact, harm = "does not exist in this backend", "its state is not changed"
        yield warning(subject, fact, harm, "If it is in another backend, remove the labs from its labs.json first")
    for lab in _shared(request, configuration, request.other):
        fact = f"serves lab {lab.name} as well"
        other_settings = request.siblings[request.other]
        place = "labsMatching" if other_settings.labs_matching else other_settings.labs
        remedy = f"Remove the lab from its {place}"
        yield warning(subject, fact, "it would take the images over again", remedy, lab.location)


def _shared(request: AdoptRequest, configuration: Configuration, other: str) -> list[TargetLab]:
    """Return the labs of the configuration that another stack of this folder serves, too, as that one lists them."""
    if (settings := request.siblings.get(other)) is None:
        return []
    return [lab for lab in labs_of_stack(settings) if any(lab.key.may_be(own.key) for own in configuration.labs)]


def _meets(request: AdoptRequest, configuration: Configuration, other: str) -> bool:
    """Return whether another stack of this folder may have images of the same labs, or the same gallery."""
    galleries = request.settings.gallery and request.siblings[other].gallery
    return bool(galleries or _shared(request, configuration, other))


def _only(found: Adoption, labs: frozenset[str]) -> Adoption:
    """Return what is found in the named labs; no part of the gallery, which is not of one lab."""
    if not labs:
        return found
    named = tuple(lab for lab in found.labs if labs & {lab.label.lower(), lab.facts.name.lower()})
    unread = tuple(lab for lab in found.unread if labs & set(_names(lab)))
    return replace(found, labs=named, gallery=None, unread=unread, is_gallery_unread=False)


async def _export_if_any(stack: str | None) -> bytes | None:
    """Return the state of another stack; None: there is none, because it was not created, removed or renamed."""
    try:
        return await export(stack) if stack else None
    except NoStack:
        return None
