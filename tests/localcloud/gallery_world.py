"""What the tests of galleries share: paths, bodies, and calls that wait until an operation ends."""

from __future__ import annotations

from typing import Any

from tests.localcloud.arm_world import SUBSCRIPTION, World, lab_path

COMPUTE, LABS = "2024-03-03", "2018-10-15-preview"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/RG-One"
GALLERIES = f"{GROUP}/providers/Microsoft.Compute/galleries"
GALLERY = f"{GALLERIES}/Golden"
IMAGE = f"{GALLERY}/images/Win.A-gen2"
VERSION = f"{IMAGE}/versions/2026.1126.143005"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/targetone"
ATTACHED = f"{lab_path()}/sharedgalleries/Golden"


def definition(sku: str = "a", **properties: Any) -> dict[str, Any]:
    """Return the body of a PUT of a definition: Windows, generation 2, Trusted Launch."""
    given = {
        "osType": "Windows",
        "osState": "Generalized",
        "hyperVGeneration": "V2",
        "identifier": {"publisher": "factory", "offer": "Win", "sku": sku},
        "features": [{"name": "SecurityType", "value": "TrustedLaunchSupported"}],
        **properties,
    }
    return {"location": "westeurope", "properties": given}


def source(url: str, account: str = ACCOUNT) -> dict[str, Any]:
    """Return the source of a disk."""
    return {"source": {"storageAccountId": account, "uri": url}}


def version(url: str, *regions: str, data: list[dict[str, Any]] | None = None, **profile: Any) -> dict[str, Any]:
    """Return the body of a PUT of a version; `profile` is what else its publishing profile has."""
    storage = {"osDiskImage": source(url), **({"dataDiskImages": data} if data else {})}
    targets = [{"name": each} for each in regions or ("westeurope",)]
    properties = {"publishingProfile": {"targetRegions": targets, **profile}, "storageProfile": storage}
    return {"location": "westeurope", "properties": properties}


async def put(world: World, path: str, body: object, method: str = "PUT") -> tuple[int, Any, dict[str, str]]:
    """Send a PUT, of the API version of its resource provider."""
    return await world.call(method, path, json=body, version=LABS if "DevTestLab" in path else COMPUTE)


async def made(world: World, path: str, body: object) -> dict[str, Any]:
    """Send a PUT, wait until its operation ends, and return the resource as it then is."""
    status, shown, headers = await put(world, path, body)
    assert status in (200, 201), shown
    if "azure-asyncoperation" in headers:
        ended = await world.ended(headers)
        assert ended["status"] == "Succeeded", ended
    return dict(await shown_at(world, path))


async def shown_at(world: World, path: str, **query: str) -> Any:
    """Return what GET returns."""
    version = LABS if "DevTestLab" in path else COMPUTE
    status, body, _ = await world.call("GET", path, version=version, params=query)
    assert status == 200, body
    return body


async def replication(world: World, path: str = VERSION) -> dict[str, Any]:
    """Return the aggregated state of a version and that of each region, with its details."""
    shown = await shown_at(world, path, **{"$expand": "ReplicationStatus"})
    status = shown["properties"]["replicationStatus"]
    regions = {each["region"]: (each["state"], each["progress"], each["details"]) for each in status["summary"]}
    return {"": status["aggregatedState"], "state": shown["properties"]["provisioningState"], **regions}


async def refused(world: World, path: str, body: object, method: str = "PUT") -> tuple[int, str, str]:
    """Send a PUT that must be refused; return status, code and message."""
    status, shown, _ = await put(world, path, body, method)
    assert status >= 400, shown
    return status, shown["error"]["code"], shown["error"]["message"]


async def deleted(world: World, path: str) -> dict[str, Any]:
    """Send a DELETE that starts an operation; return how it ended."""
    status, body, headers = await world.call("DELETE", path, version=COMPUTE)
    assert status == 202, body
    return await world.ended(headers)


async def standing(world: World) -> str:
    """Make a gallery, a definition and a version in two regions; return the URL of its VHD."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    await made(world, GALLERY, {"location": "westeurope"})
    await made(world, IMAGE, definition())
    await made(world, VERSION, version(url, "westeurope", "northeurope"))
    return url
