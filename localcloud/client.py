"""A client of the embedded cloud's control API, for dev.py, the tests and the benchmarks.

Standard library only, because dev.py imports it before the Python environment exists. Does not start a cloud.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

_DIRECT = build_opener(ProxyHandler({}))


class CloudError(Exception):
    """The embedded cloud is not running or rejected the call; the message gives the reason."""


class CloudClient:
    """The control API of the cloud with a state folder, or of the one at a base URL (`http://127.0.0.1:1234`)."""

    def __init__(self, where: Path | str) -> None:
        self._where = where

    @property
    def base_url(self) -> str:
        """The URL of resource manager and control API. Raises CloudError if no cloud is running."""
        if isinstance(self._where, str) and self._where.startswith("http"):
            return self._where.rstrip("/")
        try:
            daemon = json.loads(Path(self._where, "daemon.json").read_text(encoding="utf-8"))
            return str(daemon["resourceManager"])
        except (OSError, ValueError, KeyError, TypeError):
            raise CloudError(
                f"{self._where}: no embedded cloud is running with this state folder. "
                "Start it: python3 dev.py cloud start"
            ) from None

    def status(self) -> dict[str, Any]:
        """Return endpoints, identity, storage accounts with keys, labs, galleries, and disks with active access."""
        return dict(self._call("GET", "status"))

    def seed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Add the contents of a seed document; return when all of it exists."""
        return dict(self._call("POST", "seed", document))

    def seed_galleries(self, subscription: str, *galleries: Mapping[str, Any]) -> None:
        """Add Compute Galleries, with their definitions and versions, to a subscription."""
        self.seed({"subscriptions": [{"subscriptionId": subscription, "galleries": list(galleries)}]})

    def faults(self) -> list[dict[str, Any]]:
        """Return the active fault rules, with `seen` and `hits`."""
        return list(self._call("GET", "faults"))

    def set_faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Replace all fault rules."""
        self._call("PUT", "faults", list(rules))

    def clear_faults(self) -> None:
        """Remove all fault rules."""
        self._call("DELETE", "faults")

    def latencies(self) -> dict[str, Any]:
        """Return the current latencies."""
        return dict(self._call("GET", "latencies"))

    def set_latencies(self, latencies: Mapping[str, float | None]) -> None:
        """Set the latencies; omitted ones become zero."""
        self._call("PUT", "latencies", dict(latencies))

    def set_limits(self, limits: Mapping[str, Any]) -> None:
        """Set the limits of page writes and of ARM calls until the cloud stops; omitted ones are unlimited."""
        self._call("PUT", "limits", dict(limits))

    def set_sign_in(
        self,
        *,
        keyless_accounts: Sequence[str] = (),
        token_seconds: float | None = None,
        clock_ahead_seconds: float = 0,
    ) -> None:
        """Disable keys of storage accounts, set the lifetime of new tokens and the clock, until the cloud stops."""
        lifetime = {} if token_seconds is None else {"tokenSeconds": token_seconds}
        clock = {"clockAheadSeconds": clock_ahead_seconds}
        self._call("PUT", "sign-in", {"keylessAccounts": list(keyless_accounts), **clock, **lifetime})

    def set_storage_account(self, name: str, **facts: object) -> None:
        """Set properties of a storage account; omitted ones get their default (docs/development/embedded-cloud.md)."""
        self._call("PATCH", "storage-accounts", {name: facts})

    def set_virtual_machine(
        self,
        subscription: str,
        group: str,
        lab: str,
        name: str,
        *,
        power_state: str | None = None,
        generalized: bool | None = None,
        provisioning_state: str | None = None,
        tags: Mapping[str, str] | None = None,
        disk_properties: Mapping[str, Any] | None = None,
        writes: str | None = None,
    ) -> None:
        """Change a virtual machine of a lab (`group` is the lab's); omitted values are kept.

        `writes` is a short string that its guest writes to each disk.
        """
        changes = {
            "powerState": power_state,
            "generalized": generalized,
            "provisioningState": provisioning_state,
            "tags": tags,
            "diskProperties": disk_properties,
            "writes": writes,
        }
        machine = {"subscriptionId": subscription, "resourceGroup": group, "lab": lab, "name": name}
        given = {key: value for key, value in changes.items() if value is not None}
        self._call("PATCH", "virtual-machines", {**machine, **given})

    def set_answers(
        self,
        custom_image_answers: str = "recorded",
        *,
        gallery_answers: str = "recorded",
        policy_tags: Mapping[str, str] | None = None,
    ) -> None:
        """Set the form of answers about custom images ("recorded", "published") and about galleries ("recorded",
        "sparse") until the cloud stops.

        `policy_tags` are tags that a policy adds to every image, gallery, definition and version.
        """
        forms = {"customImageAnswers": custom_image_answers, "galleryAnswers": gallery_answers}
        self._call("PUT", "answers", {**forms, "policyTags": dict(policy_tags or {})})

    def set_permissions(
        self,
        *assignments: Mapping[str, object],
        deny: Sequence[Mapping[str, object]] = (),
        subscriptions: Mapping[str, Mapping[str, object]] | None = None,
        enforced: bool = False,
    ) -> None:
        """Set the roles that the permissions API shows until the cloud stops; none: everything is permitted.

        `deny` are the deny assignments, `subscriptions` the tenants of subscriptions by id. `enforced`: requests that
        the roles do not permit are rejected.
        """
        roles = {"assignments": assignments} if assignments or enforced else {}
        others = {"denyAssignments": deny, "subscriptions": subscriptions or {}, "enforced": enforced}
        self._call("PUT", "permissions", {**roles, **others})

    def move_lab(
        self, subscription: str, group: str, lab: str, *, to_group: str, to_subscription: str | None = None
    ) -> None:
        """Move a lab with its account and images to another resource group, also of another subscription."""
        target = {"toResourceGroup": to_group} | ({"toSubscriptionId": to_subscription} if to_subscription else {})
        self._call("POST", "move-lab", {"subscriptionId": subscription, "resourceGroup": group, "lab": lab, **target})

    def calls(self) -> list[dict[str, Any]]:
        """Return the journal: service, method, path, status and time (`at`) of each call, oldest first."""
        return list(self._call("GET", "calls"))

    def clear_calls(self) -> None:
        """Clear the journal."""
        self._call("DELETE", "calls")

    def reset(self) -> None:
        """Remove fault rules, latencies, limits and roles, restore answers and sign-in, and clear the journal."""
        self._call("POST", "reset")

    def _call(self, method: str, name: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.base_url}/local/{name}"
        request = Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - loopback only
        try:
            with _DIRECT.open(request) as response:
                return json.load(response)
        except HTTPError as error:
            raise CloudError(error.read().decode(errors="replace")) from None
        except (URLError, OSError, ValueError) as error:
            raise CloudError(
                f"{self.base_url}: the embedded cloud does not respond ({error}). Start it: python3 dev.py cloud start"
            ) from None
