"""The whole plan as resources: a provider per subscription, a `LabImages` per lab, the stack's outputs.

Owns what all labs share. It will not gather facts or judge them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager

import pulumi
import pulumi_azure_native as azure_native

from components.lab_images import LabImages, VhdSource
from components.staged_vhd import VhdCopyProvider
from imagefactory.plan import Plan
from imagefactory.settings import Settings
from imagefactory_azure.clouds import cloud_of

STACK_FRAMES = 7
"""How many frames of a declaration's Python stack the SDK looks at: its own, and at least one of ours."""


def distribute(
    plan: Plan, source: VhdSource, settings: Settings, in_state: Set[str]
) -> dict[str, dict[str, dict[str, pulumi.Input[str]]]]:
    """Declare what every readable lab must hold; returns id, image path and state by lab label and image name."""
    copier = VhdCopyProvider("vhdcopy", settings)
    subscriptions = sorted({lab.facts.subscription_id.lower() for lab in plan.labs})
    azure = {
        subscription: azure_native.Provider(
            f"subscription-{subscription}", subscription_id=subscription, environment=cloud_of(settings).name
        )
        for subscription in subscriptions
    }
    with _short_stacks():
        return {
            lab.label: LabImages(
                lab,
                source,
                settings,
                in_state,
                {"azure-native": azure[lab.facts.subscription_id.lower()], "vhdcopy": copier},
            ).images
            for lab in plan.labs
        }


@contextmanager
def _short_stacks() -> Iterator[None]:
    """Limits the Python stack that the SDK stores with each resource declared within.

    Whole, those stacks are a third of the state, and the engine writes the whole state twice for each resource made.
    `sys.tracebacklimit` is the limit of a `traceback.extract_stack` whose caller gives none, as the SDK's.
    """
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = STACK_FRAMES
    try:
        yield
    finally:
        sys.tracebacklimit = before
