"""What DevTest Labs answers when custom images are created, changed and deleted."""

from __future__ import annotations

from typing import Any

from contract.bench import MIB, Bench
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED, RECORDED


@experiment(
    "images: create and change", creates="2 page blobs of 32 MiB (512 bytes written), 1 custom image", minutes=15
)
def create(bench: Bench) -> None:
    """What the first PUT, its polling and GET answer, with or without `location`, and what a PUT on a standing image
    answers: the same one, one with changed tags after the VHD is gone, one without tags or author, with an empty
    author, and one that changes where the image came from; and a PATCH of its tags. `StagedVhdRelease` deletes the VHD
    before and patches tags that somebody changed, and adoption relies on a standing image never being created again."""
    place, name = bench.place, bench.name("first")
    box = bench.container("create")
    vhd, other = bench.vhd(f"{box}/first.vhd"), bench.vhd(f"{box}/other.vhd")
    first = bench.must(bench.put_image(name, vhd, tags={"One": "1"}), 201)
    bench.saw("the first PUT", first, RECORDED)
    bench.saw("its operation, ended", bench.ended(first), RECORDED)
    bench.saw("GET", bench.arm("GET", bench.image_path(name)), RECORDED)
    again = bench.put_image(name, vhd, tags={"One": "1"})
    bench.saw("the same PUT again", again, ASSUMED)
    bench.ended(again)
    bench.must(bench.blob("DELETE", f"{box}/first.vhd"), 202)
    changed = bench.put_image(name, vhd, tags={"one": "2", "Two": "2"}, author="somebody", description="changed")
    bench.saw("changed tags after the VHD is gone", changed, ASSUMED)
    bench.saw("its operation", bench.ended(changed), ASSUMED)
    bench.saw("GET with changed tags", bench.arm("GET", bench.image_path(name)), ASSUMED)
    patched = bench.arm("PATCH", bench.image_path(name), {"tags": {"Three": "3"}})
    bench.saw("a PATCH of other tags", patched, ASSUMED)
    authors: dict[str, dict[str, Any]] = {"no author and no tags": {}, "an empty author": {"author": ""}}
    for what, more in authors.items():
        bench.ended(bench.put_image(name, vhd, **more))
        kept = (bench.arm("GET", bench.image_path(name)).json or {}).get("properties", {})
        facts = {"authorKept": kept.get("author") == "somebody", "descriptionKept": "description" in kept}
        bench.saw(f"GET after a PUT with {what}", None, ASSUMED, **facts)
    body = {"location": place.region, "properties": {"vhd": {"imageName": vhd, "osType": "Linux", "sysPrep": False}}}
    bench.saw("a PUT with location", bench.arm("PUT", bench.image_path(name), body), ASSUMED, body=False)
    changes = {
        "another VHD": {"imageName": other},
        "another OS type": {"osType": "Windows"},
        "another sysprep state": {"osType": "Windows", "sysPrep": True},
    }
    for what, vhd_change in changes.items():
        bench.saw(f"a PUT with {what}", bench.put_image(name, vhd, vhd=vhd_change), ASSUMED)
    source = {"vm": {"sourceVmId": f"{place.lab_id}/virtualmachines/{name}"}}
    answer = bench.arm("PUT", bench.image_path(name), {"properties": source})
    bench.saw("a PUT with a VM as source", answer, ASSUMED)
    for kind in ("managedImageId", "managedSnapshotId"):
        provider = "images" if kind == "managedImageId" else "snapshots"
        made = {kind: f"{place.group_id}/providers/Microsoft.Compute/{provider}/{name}"}
        answer = bench.arm("PUT", bench.image_path(name), {"properties": made})
        bench.saw(f"a PUT with {kind} as source", answer, ASSUMED)


@experiment("images: delete", creates="1 page blob of 32 MiB, 1 custom image", minutes=10)
def delete(bench: Bench) -> None:
    """What DELETE, its polling, a second DELETE and a GET afterwards answer. The engine takes 404 as deleted."""
    name = bench.name("deleted")
    box = bench.container("delete")
    bench.image(name, bench.vhd(f"{box}/deleted.vhd"))
    first = bench.must(bench.arm("DELETE", bench.image_path(name)), 200, 202)
    bench.saw("DELETE", first, RECORDED)
    bench.saw("its operation, ended", bench.ended(first), RECORDED)
    bench.saw("DELETE of a missing image", bench.arm("DELETE", bench.image_path(name)), PUBLISHED)
    bench.saw("GET of a missing image", bench.arm("GET", bench.image_path(name)), PUBLISHED)


@experiment("images: during an operation", creates="1 page blob of 32 MiB, 1 custom image", minutes=15)
def busy(bench: Bench) -> None:
    """What polling, GET, PUT, LIST and DELETE answer while an image is being created, and what the operation says after
    the image was deleted. A run that follows a killed one waits for such an image."""
    name = bench.name("busy")
    box = bench.container("busy")
    vhd = bench.vhd(f"{box}/busy.vhd")
    with bench.place.slow():
        first = bench.must(bench.put_image(name, vhd, tags={"One": "1"}), 201)
        bench.saw("polling while it runs", bench.arm("GET", first.headers["azure-asyncoperation"]), RECORDED)
        state = (bench.arm("GET", bench.image_path(name)).json or {}).get("properties", {}).get("provisioningState")
        bench.saw("GET while it is created", None, RECORDED, provisioningState=state)
        bench.saw("PUT while it is created", bench.put_image(name, vhd, tags={"One": "2"}), ASSUMED)
    deleted = bench.arm("DELETE", bench.image_path(name))
    bench.saw("DELETE while it is created", deleted, ASSUMED)
    bench.saw("the creation's operation after DELETE", bench.arm("GET", first.headers["azure-asyncoperation"]), ASSUMED)
    bench.ended(deleted)
    bench.saw("GET after DELETE", bench.arm("GET", bench.image_path(name)), ASSUMED)


@experiment("images: PUT on a Failed image", creates="2 page blobs of 32 MiB, 1 custom image", minutes=20)
def failed(bench: Bench) -> None:
    """How a creation fails that was accepted (the blob is not a VHD), and whether a PUT creates such an image again, of
    the same and of another VHD. The program declares a failed image with a new tag, so that the engine puts it."""
    name = bench.name("failed")
    box = bench.container("failed")
    broken, good = bench.page_blob(f"{box}/broken.vhd", 32 * MIB + 512), bench.vhd(f"{box}/good.vhd")
    for what, vhd in (("a blob that is no VHD", broken), ("the same again", broken), ("a good VHD", good)):
        first = bench.put_image(name, vhd, tags={"Attempt": what})
        bench.saw(f"PUT of {what}", first, ASSUMED)
        bench.saw(f"PUT of {what}: its operation, ended", bench.ended(first), ASSUMED)
        state = (bench.arm("GET", bench.image_path(name)).json or {}).get("properties", {}).get("provisioningState")
        bench.saw(f"PUT of {what}: the image", None, ASSUMED, provisioningState=state)


@experiment("images: generation and data disks", creates="1 page blob of 32 MiB, 1 custom image", minutes=10)
def generation(bench: Bench) -> None:
    """Whether a PUT may name the Hyper-V generation, the security type or data disks of a VHD, and what GET shows of
    them. `save` and previews warn that images count as generation 1, and leave data disks out."""
    name = bench.name("generation")
    box = bench.container("generation")
    more: dict[str, Any] = {
        "vhd": {"hyperVGeneration": "V2", "securityType": "TrustedLaunch"},
        "hyperVGeneration": "V2",
    }
    vhd = bench.vhd(f"{box}/generation.vhd")
    first = bench.put_image(name, vhd, **more, dataDiskStorageInfo=[{"lun": "0", "imageName": vhd}])
    bench.saw("PUT", first, ASSUMED, body=False)
    bench.ended(first)
    shown = (bench.arm("GET", bench.image_path(name)).json or {}).get("properties", {})
    bench.saw(
        "GET",
        None,
        ASSUMED,
        generation="hyperVGeneration" in shown,
        generationOfVhd="hyperVGeneration" in shown.get("vhd", {}),
        securityTypeOfVhd="securityType" in shown.get("vhd", {}),
        dataDisks=bench.forms.value(shown.get("dataDiskStorageInfo")),
    )
