"""Edits of a stack's state: parts of a Compute Gallery that stand are added, or leave.

Functions over the document that `pulumi stack export` prints, as those of `edits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any, cast

from imagefactory.configuration.image_paths import fold
from imagefactory.observed.standing_gallery import StandingDefinition, StandingVersion
from imagefactory.planning.galleries import properties
from imagefactory.planning.galleries.inputs import GalleryInputs, Inputs
from imagefactory.planning.stacks.gallery_adoption import GalleryAdoption, Kind, PartFinding
from imagefactory.state.edits import Document, EditedState, ProviderInputs, StackName
from imagefactory.state.stack_state import DEFINITION, GALLERY, LAB_GALLERY, VERSION, name_in, resources_of

COMPONENT = "imagefactory:galleries:ImageGallery"
TYPES: Mapping[Kind, str] = {"gallery": GALLERY, "definition": DEFINITION, "version": VERSION}
_TABLES: Mapping[Kind, properties.Table] = {
    "gallery": properties.GALLERY_OUTPUTS,
    "definition": properties.DEFINITION_OUTPUTS,
    "version": properties.VERSION_OUTPUTS,
}


def with_parts(
    document: Document,
    stack: StackName,
    provider: ProviderInputs,
    inputs: GalleryInputs,
    parts: Iterable[PartFinding],
) -> dict[str, Any]:
    """Return the state with parts of the gallery added that it does not have, and those finished that it has."""
    state = EditedState(document, stack, provider)
    for one in parts:
        if one.part is not None:
            kind = TYPES[one.kind]
            state.add(
                {
                    "urn": stack.urn(f"{COMPONENT}${kind}", one.name),
                    "custom": True,
                    "id": one.part.id,
                    "type": kind,
                    "inputs": {**_inputs(inputs, one), "azureApiVersion": properties.API_VERSION},
                    "outputs": properties.outputs(_TABLES[one.kind], one.part.answer),
                    "parent": state.component(COMPONENT, "gallery"),
                    "dependencies": _needed(state, one),
                    "provider": state.azure_native(inputs.facts.subscription_id),
                }
            )
    return state.document()


def without_parts(document: Document, left: GalleryAdoption) -> dict[str, Any]:
    """Return the state without the parts that are taken over from it, and without what their labs offer of them."""
    ids = {one.part.id.lower() for one in left.taken() if one.part}
    resources = resources_of(document)
    gone = {each["urn"] for each in resources if _leaves(each, ids, left)}
    kept = [_without_needed(each, gone) for each in resources if each["urn"] not in gone]
    return {**document, "deployment": {**(document.get("deployment") or {}), "resources": kept}}


def unfinished_parts(document: Document) -> dict[tuple[Kind, str], str]:
    """Return the parts of the gallery whose creation or update the engine did not see finish: kind and folded name ->
    name."""
    kinds: dict[str, Kind] = {kind: each for each, kind in TYPES.items()}
    return {
        (kinds[each["type"]], fold(name)): name
        for each in resources_of(document)
        if each["type"] in kinds
        and each.get("initErrors")
        and not each.get("delete")
        and (name := name_in(each["urn"]))
    }


def _inputs(inputs: GalleryInputs, one: PartFinding) -> Inputs:
    if one.kind == "gallery":
        return inputs.gallery()
    if one.kind == "definition":
        return inputs.standing_definition(one.name, cast(StandingDefinition, one.part))
    definition, _, _ = one.name.rpartition("/")
    return inputs.standing_version(definition, cast(StandingVersion, one.part), one.planned)


def _needed(state: EditedState, one: PartFinding) -> list[str]:
    """Return what a part depends on, as the program declares it."""
    if one.kind == "gallery":
        return []
    return state.named(GALLERY) if one.kind == "definition" else state.named(DEFINITION, one.name.rpartition("/")[0])


def _leaves(resource: Mapping[str, Any], ids: Set[str], left: GalleryAdoption) -> bool:
    if resource["type"] in TYPES.values():
        return str(resource.get("id")).lower() in ids
    given = resource.get("inputs") or {}
    place = str(given.get("labId")).lower(), str(given.get("galleryId")).lower()
    return resource["type"] == LAB_GALLERY and place in {(id.lower(), left.facts.id.lower()) for id in left.labs}


def _without_needed(resource: dict[str, Any], gone: Set[str]) -> dict[str, Any]:
    """Return a resource without references to others that left: a state with such a reference is not valid."""
    kept = {**resource}
    if "dependencies" in resource:
        kept["dependencies"] = [each for each in resource["dependencies"] if each not in gone]
    if "propertyDependencies" in resource:
        kept["propertyDependencies"] = {
            key: [each for each in urns or () if each not in gone]
            for key, urns in resource["propertyDependencies"].items()
        }
    if resource.get("deletedWith") in gone:
        del kept["deletedWith"]
    return kept
