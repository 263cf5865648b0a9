"""What Compute answers about galleries, definitions and versions, and DevTest Labs about a gallery in a lab."""

from __future__ import annotations

from typing import Any

from contract.bench import MIB, Bench
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED, RECORDED
from contract.wire import Answer

_IDENTIFIER = {"publisher": "contract", "offer": "contract", "sku": "a"}


@experiment("galleries: create and change", creates="1 gallery, 2 definitions", minutes=3)
def create(bench: Bench) -> None:
    """What PUT, polling and GET answer for a gallery and a definition, which names are refused, what of a definition
    cannot change, whether two can have one identifier, and what DELETE answers while something is in it. The program
    declares both, with names and identifiers from the image paths."""
    gallery = bench.gallery_path("create")
    first = _put(bench, gallery, {"location": bench.place.region})
    bench.saw("PUT of a gallery", first, RECORDED)
    bench.saw("its operation, ended", bench.ended(first), RECORDED)
    bench.saw("GET of a gallery", _get(bench, gallery), RECORDED)
    again = _put(bench, gallery, {"location": bench.place.region})
    bench.saw("the same PUT again", again, RECORDED)
    bench.ended(again)
    dashed = _put(bench, f"{gallery}-x", {"location": bench.place.region})
    bench.saw("PUT of a gallery with a dash in its name", dashed, ASSUMED)
    bench.saw("PUT without location", _put(bench, gallery, {}), PUBLISHED)
    image = f"{gallery}/images/{bench.name('definition')}"
    first = _put(bench, image, _definition(bench))
    bench.saw("PUT of a definition", first, RECORDED)
    bench.saw("its operation, ended (definition)", bench.ended(first), RECORDED)
    bench.saw("GET of a definition", _get(bench, image), RECORDED)
    described = _put(bench, image, _definition(bench, description="changed"))
    bench.saw("PUT with a description", described, PUBLISHED, body=False)
    bench.ended(described)
    changes: dict[str, Any] = {
        "osType": "Windows",
        "osState": "Specialized",
        "hyperVGeneration": "V1",
        "identifier": {**_IDENTIFIER, "sku": "b"},
        "features": [],
    }
    for key, value in changes.items():
        bench.saw(f"PUT with another {key}", _put(bench, image, _definition(bench, **{key: value})), PUBLISHED)
    bench.saw("PUT of a definition with this identifier", _put(bench, f"{image}2", _definition(bench)), PUBLISHED)
    bench.saw("PUT of a definition that ends in a dash", _put(bench, f"{image}-", _definition(bench)), PUBLISHED)
    bench.saw("DELETE of a gallery with a definition", _delete(bench, gallery), RECORDED)
    deleted = _delete(bench, image)
    bench.saw("DELETE of a definition", deleted, PUBLISHED)
    bench.saw("its deletion, ended", bench.ended(deleted), PUBLISHED)
    bench.saw("DELETE of a missing definition", _delete(bench, image), PUBLISHED)
    bench.saw("GET of a missing definition", _get(bench, image), PUBLISHED)


@experiment(
    "galleries: versions", creates="3 page blobs of 32 MiB, 1 gallery, 1 definition, 3 versions", minutes=60, cents=5
)
def versions(bench: Bench) -> None:
    """What PUT, polling, GET and the replication status answer for a version of VHDs, whether its VHD may go then, what
    of a version can change, which sources are refused at once and which fail later, and what is answered while one is
    made. The program declares versions of the factory's VHDs, and `prune` deletes VHDs whose versions stand."""
    place, box = bench.place, bench.container("versions")
    image = _image(bench, "versions")
    vhd, other = bench.vhd(f"{box}/first.vhd"), bench.vhd(f"{box}/other.vhd")
    broken = bench.page_blob(f"{box}/broken.vhd", 32 * MIB + 512)
    path = f"{image}/versions/1.0.0"
    first = bench.must(_put(bench, path, _version(bench, vhd)), 201)
    bench.saw("PUT of a version", first, RECORDED)
    bench.saw("its operation, ended", bench.ended(first), RECORDED)
    bench.saw("GET", _get(bench, path), RECORDED)
    status = bench.arm("GET", path, versions="galleries", query={"$expand": "ReplicationStatus"})
    replication = bench.forms.value((status.json or {}).get("properties", {}).get("replicationStatus"))
    bench.saw("the replication status", None, PUBLISHED, replicationStatus=replication)
    bench.must(bench.blob("DELETE", f"{box}/first.vhd"), 202)
    for what, body in (
        ("the same PUT after the VHD is gone", _version(bench, vhd)),
        ("a PUT that excludes it from latest", _version(bench, vhd, excludeFromLatest=True)),
        ("a PUT with two replicas", _version(bench, vhd, replicaCount=2)),
    ):
        answer = _put(bench, path, body)
        bench.saw(what, answer, PUBLISHED, body=False)
        bench.saw(f"{what}: its operation", bench.ended(answer), PUBLISHED)
    bench.saw("a PUT with another VHD", _put(bench, path, _version(bench, other)), PUBLISHED)
    mode = _version(bench, vhd, replicationMode="Shallow")
    bench.saw("a PUT with another replication mode", _put(bench, path, mode), PUBLISHED)
    for name in ("1.0", "1.0.2147483648", "1.0.01"):
        answer = _put(bench, f"{image}/versions/{name}", _version(bench, other))
        bench.saw(f"PUT of version {name}", answer, ASSUMED if name == "1.0.01" else RECORDED)
    elsewhere = _version(bench, other, targetRegions=[{"name": _elsewhere(bench)}])
    bench.saw("PUT without the version's own region", _put(bench, f"{image}/versions/2.0.0", elsewhere), ASSUMED)
    missing = _version(bench, other)
    account = missing["properties"]["storageProfile"]["osDiskImage"]["source"]
    account["storageAccountId"] = f"{place.group_id}/providers/Microsoft.Storage/storageAccounts/contractmissing"
    bench.saw("PUT with an account that is missing", _put(bench, f"{image}/versions/2.0.0", missing), PUBLISHED)
    failing = f"{image}/versions/3.0.0"
    answer = _put(bench, failing, _version(bench, broken))
    bench.saw("PUT of a blob that is no VHD", answer, ASSUMED, body=False)
    bench.saw("PUT of a blob that is no VHD: its operation", bench.ended(answer), ASSUMED)
    state = (_get(bench, failing).json or {}).get("properties", {}).get("provisioningState")
    bench.saw("PUT of a blob that is no VHD: the version", None, ASSUMED, provisioningState=state)
    busy = f"{image}/versions/4.0.0"
    with place.slow():
        first = bench.must(_put(bench, busy, _version(bench, other)), 201)
        bench.saw("polling while it runs", bench.arm("GET", first.headers["azure-asyncoperation"]), RECORDED)
        bench.saw("PUT while it is made", _put(bench, busy, _version(bench, other)), ASSUMED)
    deleted = _delete(bench, busy)
    bench.saw("DELETE while it is made", deleted, ASSUMED)
    bench.ended(deleted)
    bench.saw("DELETE of a definition with a version", _delete(bench, image), RECORDED)
    deleted = _delete(bench, path)
    bench.saw("DELETE", deleted, PUBLISHED)
    bench.saw("its deletion, ended", bench.ended(deleted), PUBLISHED)
    bench.saw("DELETE of a missing version", _delete(bench, path), PUBLISHED)
    bench.saw("GET of a missing version", _get(bench, path), PUBLISHED)


@experiment("galleries: regions", creates="1 page blob of 32 MiB, 1 gallery, 1 definition, 1 version", minutes=60)
def regions(bench: Bench) -> None:
    """Whether an update adds a region, and whether one drops a region with and without the permission of the safety
    profile. The program drops regions that no lab needs by an update."""
    image, vhd = _image(bench, "regions"), bench.vhd(f"{bench.container('regions')}/first.vhd")
    path, other = f"{image}/versions/1.0.0", [{"name": bench.place.region}, {"name": _elsewhere(bench)}]
    bench.ended(bench.must(_put(bench, path, _version(bench, vhd)), 201))
    added = _put(bench, path, _version(bench, vhd, targetRegions=other))
    bench.saw("a PUT with one more region", added, PUBLISHED, body=False)
    bench.ended(added)
    fewer = _version(bench, vhd)
    bench.saw("a PUT with one region less", _put(bench, path, fewer), ASSUMED)
    fewer["properties"]["safetyProfile"] = {"allowDeletionOfReplicatedLocations": True}
    allowed = _put(bench, path, fewer)
    bench.saw("the same where it is allowed", allowed, PUBLISHED, body=False)
    bench.saw("its operation, ended", bench.ended(allowed), PUBLISHED)


@experiment("galleries: in a lab", creates="2 galleries, 1 definition, 1 attachment", minutes=15)
def in_lab(bench: Bench) -> None:
    """What DevTest Labs answers when a gallery is attached and detached, when a second one is, and when its images are
    listed, enabled and disabled. A lab that has another gallery attached fails here and is not changed. The provider's
    resource `LabGallery` relies on it."""
    image = _image(bench, "lab")
    gallery = image.partition("/images/")[0]
    second = _gallery(bench, "second")
    attached = f"{bench.place.lab_id}/sharedgalleries/{bench.name('attached')}"
    body = {"properties": {"galleryId": gallery, "allowAllImages": "Disabled"}}
    bench.saw("PUT without location", _shared(bench, "PUT", attached, body), ASSUMED)
    located: dict[str, Any] = {"location": bench.place.region, **body}
    bench.saw("PUT", bench.must(_shared(bench, "PUT", attached, located), 200, 201), PUBLISHED)
    bench.saw("the same PUT again", _shared(bench, "PUT", attached, located), PUBLISHED)
    bench.saw("GET", _shared(bench, "GET", attached), PUBLISHED)
    other = {**located, "properties": {"galleryId": second, "allowAllImages": "Disabled"}}
    bench.saw("PUT of a second gallery", _shared(bench, "PUT", f"{attached}2", other), ASSUMED)
    bench.saw("PUT with another gallery", _shared(bench, "PUT", attached, other), ASSUMED)
    bench.saw("LIST of its images", _shared(bench, "GET", f"{attached}/sharedimages"), PUBLISHED)
    shared = f"{attached}/sharedimages/{image.rpartition('/')[2]}"
    for state in ("Enabled", "Disabled"):
        enabled = _shared(bench, "PUT", shared, {"properties": {"enableState": state}})
        bench.saw(f"PUT of an image: {state}", enabled, ASSUMED)
    unknown = _shared(bench, "PUT", f"{shared}2", {"properties": {"enableState": "Enabled"}})
    bench.saw("PUT of an unknown image", unknown, ASSUMED)
    for what in ("DELETE", "DELETE when it is detached"):
        bench.saw(what, _shared(bench, "DELETE", attached), PUBLISHED)


def _gallery(bench: Bench, part: str) -> str:
    gallery = bench.gallery_path(part)
    bench.ended(bench.must(_put(bench, gallery, {"location": bench.place.region}), 201))
    return gallery


def _image(bench: Bench, part: str) -> str:
    image = f"{_gallery(bench, part)}/images/{bench.name('definition')}"
    bench.ended(bench.must(_put(bench, image, _definition(bench)), 201))
    return image


def _definition(bench: Bench, **change: Any) -> dict[str, Any]:
    features = [{"name": "SecurityType", "value": "TrustedLaunchSupported"}]
    properties = {"osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "features": features}
    return {"location": bench.place.region, "properties": {**properties, "identifier": _IDENTIFIER, **change}}


def _version(bench: Bench, url: str, **profile: Any) -> dict[str, Any]:
    source = {"storageAccountId": bench.place.account_id, "uri": url}
    publishing = {"targetRegions": [{"name": bench.place.region}], **profile}
    if "replicaCount" in profile:
        publishing["targetRegions"] = [{"name": bench.place.region, "regionalReplicaCount": profile["replicaCount"]}]
    properties = {"publishingProfile": publishing, "storageProfile": {"osDiskImage": {"source": source}}}
    return {"location": bench.place.region, "properties": properties}


def _elsewhere(bench: Bench) -> str:
    return "eastus" if bench.place.region.replace(" ", "").lower() != "eastus" else "westeurope"


def _put(bench: Bench, path: str, body: object) -> Answer:
    return bench.arm("PUT", path, body, versions="galleries")


def _get(bench: Bench, path: str) -> Answer:
    return bench.arm("GET", path, versions="galleries")


def _delete(bench: Bench, path: str) -> Answer:
    return bench.arm("DELETE", path, versions="galleries")


def _shared(bench: Bench, method: str, path: str, body: object = None) -> Answer:
    return bench.arm(method, path, body, versions="sharedGalleries")
