"""Declares a plan as resources: a provider per subscription, a `LabImages` per lab, and the stack's outputs.

Does not gather facts or decide what a lab contains.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import pulumi
import pulumi_azure_native as azure_native

from components.image_gallery import ImageGallery
from components.lab_images import LabImages, VhdSource
from components.staged_vhd import PlanFailures, VhdCopyProvider
from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.observe import CloudFacts
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.planning.labs.copy_order import copy_order
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.labs.planned_images import LabPlan
from imagefactory.planning.stacks.deletions import too_many_deletions
from imagefactory.state.stack_state import StackState
from imagefactory.telemetry.phases import phase

STACK_FRAMES = 1
"""Frames of a declaration's Python stack that the SDK reads: only its own, so it stores no source position."""


@dataclass(frozen=True)
class Distribution:
    """The declared resources: the stack output `labs`, labs and gallery, and the provider `vhdcopy`."""

    outputs: dict[str, dict[str, dict[str, pulumi.Input[str]]]]
    """Id, image path and state, by lab label and image name."""
    labs: dict[str, LabImages]
    """By label."""
    galleries: list[ImageGallery]
    """The gallery; empty: the stack has none."""
    copier: VhdCopyProvider
    azure: Callable[[str], azure_native.Provider]
    """Returns the provider of a subscription; declares it if it is new."""

    def export_gallery(self) -> None:
        """Export what labs offer of the gallery as the stack output `gallery`, if there is anything."""
        if offers := {label: offered for one in self.galleries for label, offered in one.offers.items()}:
            pulumi.export("gallery", offers)


async def distribute(plan: Plan, source: VhdSource, settings: Settings, state: StackState) -> Distribution:
    """Declare the images of every lab: planned ones, and kept ones as the state has them. Nothing is imported: the
    engine may write to what it imports.

    The engine starts copies in the order in which it learns of them. A child waits for its parent to be registered, so
    without waiting for all labs first, that would be the order in which these registrations end.
    """
    with phase("declare"):
        with short_stacks():
            declared = _declare(plan, source, settings, state)
        await asyncio.gather(*(lab.urn.future() for lab in declared.labs.values()), return_exceptions=True)
        with short_stacks():
            for lab, planned in copy_order(plan.labs):
                declared.labs[lab.label].declare(lab.facts, planned)
    return declared


def _declare(plan: Plan, source: VhdSource, settings: Settings, state: StackState) -> Distribution:
    """Declare everything but the planned images of labs."""
    copier = VhdCopyProvider("vhdcopy", settings)
    plans = {lab.label: lab for lab in plan.labs}
    subscriptions = {lab.label: lab.facts.subscription_id.lower() for lab in plan.labs}
    kept = {lab.label: [*(image.name for image in lab.retained), *_begun(lab, state)] for lab in plan.labs}
    for unread in plan.unread:
        if names := state.of_lab(unread.label):
            subscriptions[unread.label], kept[unread.label] = unread.key.subscription_id, names
    place = _gallery_subscription(plan, settings, state)

    @cache
    def azure(subscription: str) -> azure_native.Provider:
        name, environment = f"subscription-{subscription}", cloud_of(settings).name
        return azure_native.Provider(name, subscription_id=subscription, environment=environment)

    for subscription in sorted({*subscriptions.values(), *place}):
        azure(subscription)
    labs = {
        label: LabImages(
            label,
            plans.get(label),
            kept[label],
            source,
            settings,
            state,
            {"azure-native": azure(subscription), "vhdcopy": copier},
        )
        for label, subscription in sorted(subscriptions.items())
    }
    galleries = [
        ImageGallery(plan.gallery, source, settings, state, {"azure-native": azure(each), "vhdcopy": copier})
        for each in place
    ]
    outputs = {label: lab.images for label, lab in labs.items() if label in plans}
    return Distribution(outputs, labs, galleries, copier, azure)


def _gallery_subscription(plan: Plan, settings: Settings, state: StackState) -> list[str]:
    """Return the subscription of the gallery; empty if there is none, or the settings lack it and nothing of it is left
    but the gallery itself."""
    if plan.gallery:
        return [plan.gallery.facts.subscription_id.lower()]
    recorded = state.recorded_gallery
    is_kept = recorded.holds_images or (settings.gallery and recorded.gallery)
    return [state.gallery_subscription] if is_kept else []


def _begun(lab: LabPlan, state: StackState) -> list[str]:
    """Return the names of undeclared images that have other resources in the state, such as a copy from an earlier run:
    without them the engine would delete a staged VHD that Azure may be reading."""
    undeclared = {image.name.lower() for image in (*(one.image for one in lab.unadopted), *lab.foreign)}
    return [name for name in state.of_lab(lab.label) if name.lower() in undeclared]


def announce(plan: Plan, facts: CloudFacts, settings: Settings, state: StackState) -> None:
    """Log the warnings and notes of a plan. Raises `RunError` if it would delete more images than it may: an exception
    before anything is declared deletes nothing (docs/adr/0015)."""
    log(plan.warnings)
    for line in plan.notes():
        pulumi.log.info(line)
    stack = pulumi.get_stack()
    if stop := too_many_deletions(plan, state.images, state.recorded_gallery, facts.catalog, settings, stack):
        raise stopped_by([stop])


def current_stack() -> str:
    """Return the stack of this run: `organization/project/stack`."""
    return f"{pulumi.get_organization()}/{own_stack()}"


def own_stack() -> str:
    """Return the stack of this run as tags name it: `project/stack`."""
    return f"{pulumi.get_project()}/{pulumi.get_stack()}"


def log(diagnostics: Iterable[Diagnostic]) -> None:
    """Log each diagnostic with its own severity, which the engine prints before it."""
    for diagnostic in diagnostics:
        write = pulumi.log.error if diagnostic.severity is Severity.ERROR else pulumi.log.warn
        write(diagnostic.placed())


def stopped_by(diagnostics: Iterable[Diagnostic]) -> pulumi.RunError:
    """Log all diagnostics but the last error; return the exception whose message is that error."""
    *others, last = sorted(diagnostics, key=lambda diagnostic: diagnostic.severity is Severity.ERROR)
    log(others)
    return pulumi.RunError(last.placed())


def with_doctor(message: str) -> str:
    """Return a message about what could not be read, with the command that finds out what else would fail."""
    return f"{message.rstrip(' .')}. Run imagefactory doctor --stack {pulumi.get_stack()} to see all that is missing"


def fail(plan: Plan, distribution: Distribution) -> None:
    """Log the failures of a plan, if any, and fail the run; everything else that is declared is done.

    Does not raise an exception: the engine would then delete nothing, so a failure in one lab would keep the retired
    images of all labs (docs/adr/0015).
    """
    if not plan.failures:
        return
    log(plan.failures)
    parts = "1 part" if len(plan.failures) == 1 else f"{len(plan.failures)} parts"
    summary = f"{parts} of the plan could not be carried out (see the errors above); the rest was"
    summary = with_doctor(summary) if plan.unread else summary
    PlanFailures("plan", summary, pulumi.ResourceOptions(provider=distribution.copier))


@contextmanager
def short_stacks() -> Iterator[None]:
    """Limit the Python stack that the SDK stores with each resource declared within.

    Without a limit these stacks are a third of the state, and the engine writes all of the state twice per resource.
    All resources are declared at the same few lines, so their positions say nothing.
    `sys.tracebacklimit` limits `traceback.extract_stack` if its caller, like the SDK, passes no limit.
    """
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = STACK_FRAMES
    try:
        yield
    finally:
        sys.tracebacklimit = before
