"""Labs and galleries of one test in the embedded cloud, and what it has of them, for the tests of `LabGallery`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import grpc.aio
import pytest

from localcloud.client import CloudClient
from tests.e2e import cloud_calls

VERSION = "2018-10-15-preview"
REGION = "westeurope"
GALLERY = "ImageFactory"
KIND = "vhdcopy:index:LabGallery"
DEFINITIONS = {"Ubuntu.Server": ("Linux", "Specialized"), "Win2016.Datacenter": ("Windows", "Generalized")}
"""Names of definitions, with operating system and type."""
TAGS = {"owner": "team"}
"""Those of an attachment that was changed by hand."""
SPARE = {"Win11-gen2": ("Windows", "Generalized"), "Win2019": ("Windows", "Specialized")}


def inputs_for(lab_id: str, gallery_id: str, *names: str) -> dict[str, Any]:
    """The inputs of a LabGallery with these definitions (default: DEFINITIONS)."""
    known = {**DEFINITIONS, **SPARE}
    chosen = {name: known.get(name, ("Windows", "Generalized")) for name in names or DEFINITIONS}
    return {
        "labId": lab_id,
        "location": REGION,
        "name": gallery_id.rpartition("/")[2],
        "galleryId": gallery_id,
        "definitions": [
            {"name": name, "osType": os_type, "imageType": image_type}
            for name, (os_type, image_type) in sorted(chosen.items(), key=lambda each: each[0].lower())
        ],
    }


def state_of(inputs: Mapping[str, Any], name: str = GALLERY) -> tuple[str, dict[str, Any]]:
    """Id and outputs of a LabGallery, as the state has them."""
    id = f"{inputs['labId']}/sharedgalleries/{name}"
    return id, {**inputs, "attachmentId": id}


async def refused(call: Any) -> grpc.aio.AioRpcError:
    """Return the error of a call that fails, after checking that it is one line and has no token."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    details = str(caught.value.details())
    assert not [part for part in ("\n", "Traceback", "eyJ", "Bearer") if part in details], details
    return caught.value


@dataclass
class GalleryLabs:
    """A subscription of its own, with labs and galleries."""

    cloud: CloudClient
    subscription: str = field(default_factory=lambda: str(uuid.uuid4()))

    def add_gallery(self, name: str = GALLERY, *more: str) -> str:
        """A gallery with DEFINITIONS, SPARE and `more`; returns its id."""
        definitions = [
            {"name": each, "osType": os_type, "osState": os_state}
            for each, (os_type, os_state) in {**DEFINITIONS, **SPARE}.items()
        ]
        definitions += [{"name": each, "osType": "Windows"} for each in more]
        gallery = {"name": name, "resourceGroup": "images", "region": REGION, "definitions": definitions}
        self._seed({"galleries": [gallery]})
        return f"/subscriptions/{self.subscription}/resourceGroups/images/providers/Microsoft.Compute/galleries/{name}"

    def add_lab(
        self,
        name: str = "Web",
        gallery: str | None = None,
        *enabled: str,
        attachment: str = GALLERY,
        allows: str = "Disabled",
    ) -> str:
        """A lab, with a gallery attached if its id is given; returns the lab's id."""
        lab: dict[str, Any] = {"name": name, "resourceGroup": "labs", "region": REGION}
        if gallery:
            attached = {"name": attachment, "galleryId": gallery, "allowAllImages": allows, "images": list(enabled)}
            lab["sharedGallery"] = attached
        self._seed({"labs": [lab]})
        group = f"/subscriptions/{self.subscription}/resourceGroups/labs"
        return f"{group}/providers/Microsoft.DevTestLab/labs/{name}"

    def attached(self, lab_id: str) -> dict[str, tuple[str, str]]:
        """Name of each attachment of a lab -> id of its gallery, and `allowAllImages`."""
        listed = self.call("GET", f"{lab_id}/sharedgalleries")["value"]
        return {each["name"]: tuple(map(each["properties"].get, ("galleryId", "allowAllImages"))) for each in listed}

    def enabled(self, lab_id: str, name: str = GALLERY) -> set[str]:
        """The definitions that users of a lab can use."""
        listed = self.call("GET", f"{lab_id}/sharedgalleries/{name}/sharedimages")["value"]
        return {each["name"] for each in listed if each["properties"]["enableState"] == "Enabled"}

    def set(self, lab_id: str, definition: str, state: str, name: str = GALLERY) -> None:
        """Enable or disable a definition by hand."""
        body = {"properties": {"definitionName": definition, "enableState": state}}
        self.call("PUT", f"{lab_id}/sharedgalleries/{name}/sharedimages/{definition}", body)

    def allow_all(self, lab_id: str, gallery_id: str, name: str = GALLERY) -> None:
        """Permit all images of the attached gallery by hand."""
        properties = {"galleryId": gallery_id, "allowAllImages": "Enabled"}
        self.call(
            "PUT", f"{lab_id}/sharedgalleries/{name}", {"location": REGION, "properties": properties, "tags": TAGS}
        )

    def detach(self, lab_id: str, name: str = GALLERY) -> None:
        """Detach a gallery by hand."""
        self.call("DELETE", f"{lab_id}/sharedgalleries/{name}")

    def refuse(self, refusals: Mapping[str, tuple[int, str]]) -> None:
        """Reject each write of a definition whose name starts so, with this status and code."""
        rules = [
            {
                "service": "arm",
                "method": "PUT",
                "path": f"/sharedimages/{name}",
                "action": {"status": status, "code": code},
            }
            for name, (status, code) in refusals.items()
        ]
        self.cloud.set_faults(rules)

    def writes(self) -> list[tuple[str, str]]:
        """Method, and the last part of the path, of each write of this subscription since the journal was cleared."""
        return [
            (call["method"], call["path"].partition("?")[0].rpartition("/")[2])
            for call in self.requests()
            if call["method"] != "GET"
        ]

    def requests(self) -> list[dict[str, Any]]:
        """Each call about this subscription since the journal was cleared."""
        return [call for call in self.cloud.calls() if self.subscription in call["path"]]

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A call of the resource manager that succeeds, by hand."""
        answer = cloud_calls.request(self._status, method, f"{path}?api-version={VERSION}", body)
        answer.raise_for_status()
        return dict(answer.json()) if answer.content else {}

    def _seed(self, contents: Mapping[str, Any]) -> None:
        self.cloud.seed({"subscriptions": [{"subscriptionId": self.subscription, **contents}]})

    @cached_property
    def _status(self) -> dict[str, Any]:
        return self.cloud.status()
