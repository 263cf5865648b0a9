"""Edits of a state: what is added, moved and removed, and that the rest stays and fits together."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.moved_labs import MovedLab
from imagefactory.state.edits import (
    Adopted,
    ProviderInputs,
    StackName,
    leaving_ids,
    names_of,
    unfinished_images,
    with_images,
    without_images,
)
from imagefactory.state.stack_state import COPY, CUSTOM_IMAGE, RELEASE, StackState, resources_of
from tests.unit.builders import SUBSCRIPTION, facts, lab, standing

STACK = StackName("imagefactory", "dev")
PROVIDER = ProviderInputs("public", "3.29.0")
EMPTY: dict[str, Any] = {"version": 3, "deployment": {"manifest": {"version": "v3"}}}


def answered(name: str, lab: LabFacts, **more: Any) -> Adopted:
    """An image that Azure lists as recorded: without a location."""
    image_id = f"{lab.id}/customimages/{name}"
    answer = {
        "id": image_id,
        "name": name,
        "tags": {"ImagePath": "Win2016/Datacenter.json"},
        "etag": "x",
        "properties": {"provisioningState": "Succeeded", "author": None, "creationDate": "2026", **more},
    }
    return Adopted(f"{lab.name}@1", lab, replace(standing(name), id=image_id, answer=answer), name)


def whole(document: dict[str, Any]) -> bool:
    """Whether each resource comes after its parent, its provider and its dependencies, and no URN is there twice."""
    seen: set[str] = set()
    for each in resources_of(document):
        needs = {each.get("parent"), *each.get("dependencies", ())} - {None}
        if "provider" in each:
            needs.add(each["provider"].rpartition("::")[0])
        if not needs <= seen or each["urn"] in seen:
            return False
        seen.add(each["urn"])
    ids = {f"{each['urn']}::{each.get('id')}" for each in resources_of(document)}
    return all(each.get("provider") in {None, *ids} for each in resources_of(document))


names = st.lists(st.sampled_from("abcdef"), unique=True)


@given(
    st.dictionaries(st.sampled_from(["web", "data"]), names), st.dictionaries(st.sampled_from(["web", "data"]), names)
)
def test_added_images_are_in_the_state_once_and_it_fits_together(first: Any, second: Any) -> None:
    """Whatever was there; adding the same again changes nothing."""

    def images(wanted: dict[str, list[str]]) -> list[Adopted]:
        return [answered(name, facts(lab)) for lab, names in wanted.items() for name in names]

    before = with_images(EMPTY, STACK, PROVIDER, images(first), ())
    untouched = deepcopy(before)
    after = with_images(before, STACK, PROVIDER, images(second), ())
    assert before == untouched
    assert whole(before) and whole(after)
    expected = {f"{lab}@1/{name}" for wanted in (first, second) for lab, names in wanted.items() for name in names}
    assert StackState.of(resources_of(after)).images == expected
    assert with_images(after, STACK, PROVIDER, images(first), ()) == after


def test_an_added_image_has_the_inputs_of_the_program_and_the_outputs_that_azure_told() -> None:
    """The location is an input, because azure-native would add it and write; no output, because Azure told none."""
    web = facts("web")
    document = with_images(EMPTY, STACK, PROVIDER, [answered("a", web, managedImageId="/image", other=1)], ())
    (image,) = [each for each in resources_of(document) if each["type"] == CUSTOM_IMAGE]
    assert image["inputs"] == {
        "azureApiVersion": "2018-09-15",
        "labName": "web",
        "location": "westeurope",
        "name": "a",
        "resourceGroupName": "rg",
        "tags": {"ImagePath": "Win2016/Datacenter.json"},
    }
    assert image["outputs"] == {
        "azureApiVersion": "2018-09-15",
        "creationDate": "2026",
        "id": image["id"],
        "managedImageId": "/image",
        "name": "a",
        "provisioningState": "Succeeded",
        "tags": {"ImagePath": "Win2016/Datacenter.json"},
    }
    assert image["provider"].startswith(
        f"urn:pulumi:dev::imagefactory::pulumi:providers:azure-native::subscription-{SUBSCRIPTION}::"
    )


def chain(label: str, name: str, lab: LabFacts, provider: str) -> list[dict[str, Any]]:
    """The three resources of an image that the program made."""

    def urn(kind: str) -> str:
        return STACK.urn(f"imagefactory:labs:LabImages${kind}", f"{label}/{name}")

    image_id, account = f"{lab.id}/customimages/{name}", str(lab.storage_account_id).lower()
    parent = STACK.urn("imagefactory:labs:LabImages", label)
    copy = {"sourceUrl": "https://f/a.vhd", "destinationAccountId": account, "imageId": image_id.lower()}
    image = {"labName": lab.name, "resourceGroupName": lab.resource_group, "name": name, "location": lab.region}
    return [
        {"urn": urn(COPY), "type": COPY, "custom": True, "id": "x", "inputs": copy, "parent": parent},
        {
            **{"urn": urn(CUSTOM_IMAGE), "type": CUSTOM_IMAGE, "custom": True, "id": image_id, "inputs": image},
            **{"parent": parent, "provider": provider, "dependencies": [urn(COPY)]},
            "propertyDependencies": {"vhd": [urn(COPY)], "labName": None},
        },
        {
            **{"urn": urn(RELEASE), "type": RELEASE, "custom": True, "id": "x", "parent": parent},
            **{"inputs": {"accountId": account, "imageId": image_id.lower()}, "dependencies": [urn(CUSTOM_IMAGE)]},
        },
    ]


def test_a_lab_that_moved_keeps_its_images_under_their_new_label_and_ids() -> None:
    """To another subscription; a lab beside it and what the images were made from stay as they are."""
    account = "/subscriptions/{}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/acc"
    old = facts("web", storage_account_id=account.format(SUBSCRIPTION))
    state = with_images(EMPTY, STACK, PROVIDER, [answered("x", facts("data")), answered("y", old)], ())
    provider = next(each["provider"] for each in resources_of(state) if each["type"] == CUSTOM_IMAGE)
    state = without_images(state, {"web@1/y"})
    state["deployment"]["resources"] += chain("web@1", "a", old, provider) + chain("web@1", "gone", old, provider)
    for each in resources_of(state):
        each["initErrors"] = ["context canceled"]
    other = SUBSCRIPTION.replace("2", "3")
    place = old.id.replace(SUBSCRIPTION, other).replace("/rg/", "/new/")
    there = answered("a", replace(old, id=place)).image
    new = replace(
        old,
        id=place,
        subscription_id=other,
        resource_group="new",
        storage_account_id=account.format(other),
        images=(there,),
    )
    target = lab("web", subscription_id=other)
    moved = MovedLab(target, new, "web@1", SUBSCRIPTION, "rg", ("a", "gone"))
    after = with_images(state, STACK, PROVIDER, (), [moved])
    assert whole(after)
    found = StackState.of(resources_of(after))
    assert set(found.chains) == {f"{target.label}/a", f"{target.label}/gone", "data@1/x"}
    assert "web@1" not in json.dumps(after) and SUBSCRIPTION in json.dumps(after)
    one = found.chains[f"{target.label}/a"]
    assert one[COPY]["imageId"] == one[RELEASE]["imageId"] == there.id.lower()
    assert one[COPY]["destinationAccountId"] == one[RELEASE]["accountId"] == account.format(other).lower()
    assert (one[CUSTOM_IMAGE]["resourceGroupName"], one[CUSTOM_IMAGE]["location"]) == ("new", "westeurope")
    images = {each["urn"].rpartition("/")[2]: each for each in resources_of(after) if each["type"] == CUSTOM_IMAGE}
    assert [name for name, each in images.items() if "initErrors" not in each] == ["a"]
    assert images["a"]["id"] == there.id and images["gone"]["id"].startswith(place)
    assert other in images["a"]["provider"] and SUBSCRIPTION in images["x"]["provider"]
    again = replace(moved, old_label=target.label, old_subscription_id=other)
    assert with_images(after, STACK, PROVIDER, (), [again]) == after


def test_removed_images_leave_with_their_copies_and_nothing_else() -> None:
    """By the ids that they have."""
    web = facts("web")
    state = with_images(EMPTY, STACK, PROVIDER, [answered("a", web), answered("b", web)], ())
    assert names_of(state, {f"{web.id}/customimages/a".lower()}) == {"web@1/a"}
    after = without_images(state, {"web@1/a"})
    assert StackState.of(resources_of(after)).images == {"web@1/b"} and whole(after)
    assert len(resources_of(after)) == len(resources_of(state)) - 1


def test_an_image_whose_creation_the_engine_did_not_see_finish_is_finished_in_the_state() -> None:
    """With what Azure has now, so that the engine does not put it again; under the name that the state has."""
    web = facts("web")
    state = with_images(EMPTY, STACK, PROVIDER, [answered("a", web)], ())
    image = resources_of(state)[-1]
    image |= {"initErrors": ["context canceled"], "outputs": {}, "id": "/asked/for"}
    assert unfinished_images(state) == {"web@1/a"}
    after = with_images(state, STACK, PROVIDER, [replace(answered("A", web), name="a")], ())
    finished = resources_of(after)[-1]
    assert "initErrors" not in finished and finished["outputs"]["provisioningState"] == "Succeeded"
    assert finished["id"].endswith("/A") and finished["inputs"] == image["inputs"]
    assert len(resources_of(after)) == len(resources_of(state)) and unfinished_images(after) == frozenset()


def test_resources_that_are_being_deleted_are_neither_added_to_nor_overlooked() -> None:
    """The engine deletes them by their id in its next run."""
    web = facts("web")
    state = with_images(EMPTY, STACK, PROVIDER, [answered("a", web)], ())
    resources_of(state)[-1]["delete"] = True
    assert leaving_ids(state) == {f"{web.id}/customimages/a".lower()}
