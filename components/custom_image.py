"""The resource `CustomImage` of azure-native, as `LabImages` declares it: untyped.

The class of `pulumi_azure_native` copies the options three times and looks up the types of all properties, in each
resource; the engine receives the same from both, but for the former types of the resource (`aliases`): no state of this
project has them, and the SDK computes a URN of each, in each resource (docs/adr/0036).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_azure_native import _utilities

from imagefactory.state.stack_state import CUSTOM_IMAGE


class CustomImage(pulumi.CustomResource):
    """A custom image of a lab."""

    provisioningState: pulumi.Output[str]
    """Spelled as the provider spells it, because the SDK sets it by that name."""

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        """Declare an image. Completes `opts`, which no other resource may have."""
        package = _utilities.get_resource_opts_defaults()
        opts.version, opts.plugin_download_url = package.version, package.plugin_download_url
        super().__init__(CUSTOM_IMAGE, name, {**inputs, "provisioningState": None}, opts)
