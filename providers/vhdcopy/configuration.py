"""What the engine configures the provider with, as values.

Checks endpoints as the settings are checked: any local user can reach the provider's port, and its tokens go there.
Opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from imagefactory.azure.core.clouds import CLOUDS, Cloud
from imagefactory.configuration.stack_settings import CopyOptions, safe_blob_url, safe_url


def configuration(given: Mapping[str, object]) -> tuple[Cloud, CopyOptions]:
    """The cloud and the options. Raises `ValueError` with a phrase that names the property and not its value."""
    texts = {name: str(value) for name, value in given.items() if value}
    signing_in = texts.get("authority"), texts.get("audience")
    # Not in the settings: they follow from the cloud's name, and a secret, or a token for anything, follows from them.
    if signing_in not in {(None, None), *((cloud.authority, cloud.audience) for cloud in CLOUDS.values())}:
        raise ValueError("authority and audience are not those of an Azure cloud")
    urls = {}
    for name, safe in (("resourceManager", safe_url), ("blobEndpoint", safe_blob_url)):
        try:
            urls[name] = safe(texts.get(name, ""))
        except ValueError as reason:
            raise ValueError(f"{name} cannot be used ({reason})") from None
    return (
        Cloud(None, urls["resourceManager"], urls["blobEndpoint"], *signing_in),
        CopyOptions.from_properties(texts),
    )
