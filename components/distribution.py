"""The whole plan as resources: a provider per subscription, a `LabImages` per lab, the stack's outputs.

Owns what all labs share. It will not gather facts or judge them.
"""

from __future__ import annotations

from collections.abc import Set

import pulumi
import pulumi_azure_native as azure_native

from components.lab_images import LabImages, VhdSource
from components.staged_vhd import VhdCopyProvider
from imagefactory.plan import Plan
from imagefactory_azure.clouds import Cloud


def distribute(
    plan: Plan, source: VhdSource, cloud: Cloud, in_state: Set[str]
) -> dict[str, dict[str, dict[str, pulumi.Input[str]]]]:
    """Declare what every readable lab must hold; returns id, image path and state by lab label and image name."""
    copier = VhdCopyProvider("vhdcopy", cloud.resource_manager, cloud.blob_endpoint, cloud.authority)
    subscriptions = sorted({lab.facts.subscription_id.lower() for lab in plan.labs})
    azure = {
        subscription: azure_native.Provider(
            f"subscription-{subscription}", subscription_id=subscription, environment=cloud.name
        )
        for subscription in subscriptions
    }
    return {
        lab.label: LabImages(
            lab,
            source,
            cloud.blob_service((lab.facts.storage_account_id or "").rpartition("/")[2]),
            in_state,
            {"azure-native": azure[lab.facts.subscription_id.lower()], "vhdcopy": copier},
        ).images
        for lab in plan.labs
    }
