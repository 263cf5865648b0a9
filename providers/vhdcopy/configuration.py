"""Parses the configuration that the engine passes to the provider.

Checks endpoints like the settings: any local user can reach the provider's port, and tokens are sent to the endpoints.
Does not connect.
"""

from __future__ import annotations

from collections.abc import Mapping

from imagefactory.azure.core.clouds import CLOUDS, Cloud
from imagefactory.configuration.endpoints import safe_blob_url, safe_url
from imagefactory.configuration.stack_settings import CopyOptions


def configuration(given: Mapping[str, object]) -> tuple[Cloud, CopyOptions]:
    """Return the cloud and the options. Raises `ValueError` with a phrase that names the property, not its value."""
    properties = {name: str(value) for name, value in given.items() if value}
    sign_in = properties.get("authority"), properties.get("audience")
    # Not in the settings: the cloud's name implies them, and they decide who receives secrets and what tokens are for.
    if sign_in not in {(None, None), *((cloud.authority, cloud.audience) for cloud in CLOUDS.values())}:
        raise ValueError("authority and audience are not those of an Azure cloud")
    urls = {}
    for name, safe in (("resourceManager", safe_url), ("blobEndpoint", safe_blob_url)):
        try:
            urls[name] = safe(properties.get(name, ""))
        except ValueError as reason:
            raise ValueError(f"{name} cannot be used ({reason})") from None
    return (
        Cloud(None, urls["resourceManager"], urls["blobEndpoint"], *sign_in),
        CopyOptions.from_properties(properties),
    )
