"""The engine receives the same of a `CustomImage` as of azure-native's own class."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2
from pulumi_azure_native import devtestlab

from components.custom_image import CustomImage
from tests.components.test_lab_images import Recorder

INPUTS = {
    "labName": "web",
    "resourceGroupName": "labs",
    "location": "westeurope",
    "name": "image",
    "author": "factory",
    "description": "about it",
    "tags": {"ImagePath": "Win2016/Datacenter.json", "Some Key": "1"},
    "vhd": {"imageName": "https://account/image.vhd", "osType": "Windows", "sysPrep": True},
}


def of_azure_native(opts: pulumi.ResourceOptions) -> pulumi.Resource:
    return devtestlab.CustomImage(
        "web/image",
        lab_name="web",
        resource_group_name="labs",
        location="westeurope",
        name="image",
        author="factory",
        description="about it",
        tags={"ImagePath": "Win2016/Datacenter.json", "Some Key": "1"},
        vhd=devtestlab.CustomImagePropertiesCustomArgs(
            image_name="https://account/image.vhd", os_type="Windows", sys_prep=True
        ),
        opts=opts,
    )


def requests() -> list[resource_pb2.RegisterResourceRequest]:
    """Register an image by both classes; return what the engine receives, without what stands for its place in code."""
    received: list[Any] = []

    class Monitor(mocks.MockMonitor):
        def RegisterResource(self, request: Any) -> Any:
            received.append(request)
            return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    mocks.set_mocks(Recorder(), monitor=Monitor(Recorder()))

    def declare() -> None:
        parent = pulumi.ComponentResource("imagefactory:labs:LabImages", "web")
        options: dict[str, Any] = {"parent": parent, "ignore_changes": ["vhd", "tags"]}
        of_azure_native(pulumi.ResourceOptions(**options))
        CustomImage("web/image", INPUTS, pulumi.ResourceOptions(**options))

    pulumi.runtime.test(declare)()  # type: ignore[no-untyped-call]  # the SDK has no types for it
    images = [each for each in received if each.type == "azure-native:devtestlab:CustomImage"]
    for each in images:
        each.ClearField("sourcePosition")
        each.ClearField("stackTrace")
    return images


@pytest.mark.usefixtures("current_loop")
def test_a_registration_is_that_of_azure_natives_class() -> None:
    """Type, inputs, options and version: states of both are the same. Former types are left out, which no state has."""
    theirs, ours = requests()
    assert theirs.version and len(theirs.aliases or theirs.aliasURNs) == 3
    assert not ours.aliases and not ours.aliasURNs
    theirs.ClearField("aliases")
    theirs.ClearField("aliasURNs")
    assert ours == theirs
