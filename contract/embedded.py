"""The embedded cloud as a place: a private one for each run, with a lab, two machines, and an account without keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import requests

from contract.place import Place, find_place
from contract.wire import Wire
from imagefactory.configuration.stack_settings import parse_settings
from toolchain.checkout import Checkout
from toolchain.private_cloud import PrivateCloud, private_cloud
from toolchain.shell import cloud_variables

SUBSCRIPTION, LAB = "99999999-9999-9999-9999-999999999999", "Spare-Lab"
_KEYLESS, _MIB = "contractnokeys", 1024 * 1024
_OPERATIONS = ("imageCreate", "imageDelete", "diskAccess", "containerDelete", "copy", "vmDelete", "galleryReplication")
_SLOW = {f"{operation}Seconds": 3600 for operation in _OPERATIONS}
"""So that nothing that starts in a slow section ends in it, however slow this machine is."""
_PLENTY = {"size": 1_000_000, "perSecond": 1_000_000}
"""Nothing is throttled, but answers show what is left."""


def _machine(name: str) -> dict[str, Any]:
    return {"name": name, "osType": "Linux", "sizeBytes": 16 * _MIB}


_LAB_ID = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/Spare-RG/providers/microsoft.devtestlab/labs/{LAB}"

SEED = {
    "subscriptions": [
        {
            "subscriptionId": SUBSCRIPTION,
            "labs": [
                {
                    "name": LAB,
                    "resourceGroup": "Spare-RG",
                    "region": "westeurope",
                    "storageAccount": "contractspare",
                    "virtualMachines": [
                        _machine("read"),
                        {**_machine("deleted"), "properties": {"customImageId": f"{_LAB_ID}/customimages/golden"}},
                    ],
                }
            ],
        }
    ],
    "storageAccounts": [_KEYLESS],
}


@contextmanager
def embedded() -> Iterator[tuple[Place, Wire, PrivateCloud]]:
    """Start an embedded cloud, and stop it at the end. Raises SetupError, ContractError."""
    with private_cloud(Checkout.here(), SEED) as cloud:
        cloud.client.set_sign_in(keyless_accounts=[_KEYLESS])
        cloud.client.set_limits({f"subscription{kind}": _PLENTY for kind in ("Reads", "Writes", "Deletes")})
        yield (*connected(cloud), cloud)


def connected(cloud: PrivateCloud) -> tuple[Place, Wire]:
    """Return the place in a running embedded cloud, and a wire to it. Raises ContractError."""
    variables = cloud_variables(cloud.client.status())
    factory = {"subscriptionId": SUBSCRIPTION, "labName": "none"}
    settings = parse_settings({"cloud": "custom", "factory": factory}, variables)
    wire = Wire(partial(_token, variables))
    place = find_place(wire, settings, LAB, None, None)
    machine = f"{place.lab_id}/virtualmachines/deleted"

    @contextmanager
    def slow() -> Iterator[None]:
        cloud.client.set_latencies(_SLOW)
        try:
            yield
        finally:
            cloud.client.set_latencies({})

    compute = _property(wire, place, f"{place.lab_id}/virtualmachines/read", "2018-09-15", "computeId")
    storage = _property(wire, place, str(compute), "2024-07-01", "storageProfile")
    disk = storage["osDisk"]["managedDisk"]["id"]
    keyless = place.blob.replace(place.account, _KEYLESS)
    return replace(place, name="embedded", disk=disk, machine=machine, keyless=keyless, slow=slow), wire


def _property(wire: Wire, place: Place, path: str, version: str, name: str) -> Any:
    url = f"{place.cloud.resource_manager}{path}?api-version={version}"
    return wire.send("GET", url, place.cloud.scope).json["properties"][name]


def _token(variables: Mapping[str, str], scope: str) -> str:
    """Return a token of the cloud's managed identity; the environment of this process stays as it is."""
    query = {"api-version": "2019-08-01", "resource": scope.removesuffix("/.default")}
    headers = {"X-IDENTITY-HEADER": variables["IDENTITY_HEADER"]}
    answer = requests.get(variables["IDENTITY_ENDPOINT"], params=query, headers=headers, timeout=30)
    return str(answer.json()["access_token"])
