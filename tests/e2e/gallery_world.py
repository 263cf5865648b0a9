"""A world whose stack has a Compute Gallery.

Saves images of generation 2 and with data disks, and reads what the gallery has and what labs offer of it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.e2e import cloud_calls
from tests.e2e.world import MIB, Lab, World

COMPUTE, DEVTESTLAB = "2024-03-03", "2018-10-15-preview"


def published(version: dict[str, Any]) -> dict[str, Any]:
    """The publishing profile of a version."""
    return dict(version["properties"]["publishingProfile"])


@dataclass
class GalleryWorld(World):
    """A world with a gallery in the resource group `factory`; its labs get images by it, unless `deliveries` differ."""

    deliveries: dict[str, str] = field(default_factory=dict)
    """By lab, as in labs.json."""
    rebuilt: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settings |= {"delivery": "gallery", "gallery": {"name": "images", "resourceGroup": self.factory.group}}

    @property
    def gallery_id(self) -> str:
        """The ARM id of the gallery."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.factory.group}"
        return f"{group}/providers/Microsoft.Compute/galleries/images"

    def entry(self, key: str) -> dict[str, object]:
        """An entry of labs.json."""
        delivery = self.deliveries.get(key)
        return {**super().entry(key), **({"Delivery": delivery} if delivery else {})}

    def add_image(self, path: str, day: int, *, data_disks: int = 0, **companion: object) -> str:
        """A factory image of a day of June 2026 with changes to its companion; returns its name."""
        name = f"{path.removesuffix('.json').replace('/', '_')}-Jun-{day}-2026"
        vhd = f"{uuid.uuid4()}.vhd"
        disks = [{"lun": lun, "vhdFileName": vhd.replace(".vhd", f".lun{lun}.vhd")} for lun in range(data_disks)]
        about = {
            "imageName": name,
            "imagePath": path,
            "description": "",
            "osType": "Linux" if "Ubuntu" in path else "Windows",
            "vhdFileName": vhd,
            "timestamp": f"2026-06-{day:02}T10:11:12Z",
            **({"dataDisks": disks} if disks else {}),
            **companion,
        }
        place = {"subscriptionId": self.subscription, "lab": self.factory.name, "sizeBytes": 16 * MIB}
        others = [{**place, "vhd": each["vhdFileName"]} for each in disks]
        self.cloud.seed({"factoryImages": [{**place, "vhd": vhd, "companion": about}, *others]})
        self.images[name], self.origins[name] = vhd, (path, day)
        self.define(path)
        return name

    def rebuild(self, name: str) -> None:
        """The factory image of that name is replaced by one of another VHD, which was saved a minute later."""
        path, day = self.origins[name]
        self.retire(name)
        self.rebuilt += 1
        self.add_image(path, day, timestamp=f"2026-06-{day:02}T11:{self.rebuilt:02}:12Z")

    def offered(self, lab: Lab, region: str) -> dict[str, tuple[str, str]]:
        """The images that users of a lab in that region can use by the gallery: VHD -> image path, version."""
        enabled = {name for names in self.offers(lab).values() for name in names}
        return {
            each["tags"]["SourceVhd"]: (each["tags"]["ImagePath"], key)
            for key, each in self.versions().items()
            if key.partition("/")[0] in enabled
            and each["properties"]["provisioningState"] == "Succeeded"
            and region in {place["name"].replace(" ", "").lower() for place in published(each)["targetRegions"]}
        }

    def definitions(self) -> dict[str, dict[str, Any]]:
        """The definitions of the gallery by name, as ARM answers; none if there is no gallery."""
        return {each["name"]: each for each in self._listed(f"{self.gallery_id}/images", COMPUTE)}

    def versions(self) -> dict[str, dict[str, Any]]:
        """The versions of the gallery by `<definition>/<version>`."""
        return {
            f"{name}/{each['name']}": each
            for name in self.definitions()
            for each in self._listed(f"{self.gallery_id}/images/{name}/versions", COMPUTE)
        }

    def replicated(self, definition: str) -> list[str]:
        """The regions that have a finished replica of the versions of a definition."""
        query = f"?api-version={COMPUTE}&$expand=ReplicationStatus"
        versions = f"{self.gallery_id}/images/{definition}/versions"
        answers = [
            cloud_calls.request(self.status, "GET", f"{versions}/{each['name']}{query}")
            for each in self._listed(versions, COMPUTE)
        ]
        summaries = [answer.json()["properties"]["replicationStatus"]["summary"] for answer in answers]
        return [each["region"] for summary in summaries for each in summary if each["state"] == "Completed"]

    def made_from(self) -> dict[str, str]:
        """The versions in state Succeeded: VHD that each was made from -> `<definition>/<version>`."""
        return {
            each["properties"]["storageProfile"]["osDiskImage"]["source"]["uri"].rpartition("/")[2]: key
            for key, each in self.versions().items()
            if each["properties"]["provisioningState"] == "Succeeded"
        }

    def offers(self, lab: Lab) -> dict[str, list[str]]:
        """What users of a lab can use: name of each attached gallery -> names of the enabled definitions, sorted."""
        attached = self._listed(f"{lab.id}/sharedgalleries", DEVTESTLAB)
        return {
            each["properties"]["galleryId"].rpartition("/")[2]: sorted(
                image["properties"]["definitionName"]
                for image in self._listed(f"{lab.id}/sharedgalleries/{each['name']}/sharedimages", DEVTESTLAB)
                if image["properties"]["enableState"] == "Enabled"
            )
            for each in attached
        }

    def gallery_writes(self) -> list[tuple[str, str, int]]:
        """The calls that write the gallery, or what labs offer of it, since the journal was cleared."""
        parts = ("/galleries/", "/sharedgalleries/")
        return [
            (call["method"], call["path"].partition("?")[0], call["status"])
            for call in self.cloud.calls()
            if call["method"] in {"PUT", "PATCH", "POST", "DELETE"}
            and any(each in call["path"].lower() for each in parts)
        ]

    def _listed(self, path: str, version: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        url = f"{path}?api-version={version}"
        while url:
            answer = cloud_calls.request(self.status, "GET", url)
            if answer.status_code == 404:
                return []
            answer.raise_for_status()
            items += answer.json()["value"]
            url = answer.json().get("nextLink", "")
        return items
