"""The errors of Azure Resource Manager: their body, the common ones, and the check of `api-version`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LAB_VERSIONS = ("2018-10-15-preview", "2018-09-15", "2016-05-15")
_DATED = re.compile(r"20\d\d-\d\d-\d\d(-preview)?")


@dataclass
class ArmError(Exception):
    """An error response: HTTP status, ARM error code and message."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the JSON of the response."""
        return {"error": {"code": self.code, "message": self.message}}


def resource_not_found(kind: str, name: str, group: str) -> ArmError:
    """Return the error for a missing resource."""
    return ArmError(
        404, "ResourceNotFound", f"The Resource '{kind}/{name}' under resource group '{group}' was not found."
    )


def invalid(message: str) -> ArmError:
    """Return the error for an invalid request body."""
    return ArmError(400, "InvalidRequestContent", message)


def check_version(namespace: str, given: str | None) -> None:
    """Reject a missing `api-version`, or one that the resource provider does not support. Raises ArmError."""
    if not given:
        raise ArmError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if namespace == "microsoft.devtestlab" and given not in LAB_VERSIONS:
        raise ArmError(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for API version '{given}' of namespace 'Microsoft.DevTestLab'. "
            f"The supported api-versions are '{', '.join(LAB_VERSIONS)}'.",
        )
    if not _DATED.fullmatch(given):
        raise ArmError(400, "InvalidApiVersionParameter", f"The api-version '{given}' is invalid.")
