"""The end of a run: waits for all operations, keeps what would be deleted after an error, and exports what is not done.

The engine deletes what is not declared when the program has ended; with --continue-on-error also if operations failed
(pulumi/pulumi, pkg/resource/deploy/deployment_executor.go: `performPostSteps`, seen with 3.259). It answers the
registration of a resource when its operation has ended, and the SDK makes the outputs of a failed one unknown
(`pulumi.runtime.resource`), so a program can declare what it would have left out, in the same run (docs/adr/0022).
Does not decide what is deleted from a lab where nothing failed: the plan does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping

import pulumi

from components.distribution import Distribution, fail, short_stacks
from components.image_gallery import ImageGallery
from components.lab_images import LabImages, VhdSource
from imagefactory.configuration.stack_settings import Settings
from imagefactory.planning.labs.plan import Plan
from imagefactory.state.stack_state import DEFINITION, GALLERY, LAB_GALLERY, VERSION, StackState

REASON = "something failed in this run, and a run deletes nothing after an error (setting deleteAfterErrors)"
_NOWHERE = VhdSource("", "")
_GALLERY_KINDS = (GALLERY, DEFINITION, VERSION, LAB_GALLERY)


async def finish(plan: Plan, distribution: Distribution, settings: Settings, state: StackState) -> None:
    """Wait until everything that is declared is done, then export `retained`, `created` and `notDone`, and fail if
    the plan does.

    What was created or failed is by lab label, in the gallery by an empty one.
    """
    failed = await _failed_names(distribution)
    retained = plan.retained()
    if failed and settings.delete_after_errors != "always":
        kept = list(
            _keep(distribution, settings, state, failed if settings.delete_after_errors == "otherLabs" else None)
        )
        retained += [{"lab": label, "image": name, "imagePath": "", "reason": REASON} for label, name in kept]
        for label in sorted({label for label, _ in kept}):
            names = ", ".join(name for of, name in kept if of == label)
            remedy = "Fix what failed; they leave in the next run without an error"
            pulumi.log.warn(f"{label or 'gallery'}: keeps {names}: {REASON}. {remedy}.")
        await _failed_names(distribution)
    created = _created(plan, failed)
    if not pulumi.runtime.is_dry_run():
        for label in sorted(created.keys() | failed.keys()):
            parts = (("created", created), ("not done", failed))
            told = [f"{what} {', '.join(names[label])}" for what, names in parts if names.get(label)]
            pulumi.log.info(f"{label or 'gallery'}: {'; '.join(told)}")
    pulumi.export("retained", retained)
    pulumi.export("created", created)
    pulumi.export("notDone", failed)
    fail(plan, distribution)


def _created(plan: Plan, failed: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Return the images that the state did not have completely and that did not fail, as `notDone`."""
    found = {lab.label: [image.name for image in lab.images if not image.done] for lab in plan.labs}
    found[""] = [version.key for version in plan.gallery.versions if not version.standing] if plan.gallery else []
    done = ((label, [name for name in names if name not in failed.get(label, ())]) for label, names in found.items())
    return {label: sorted(names) for label, names in done if names}


async def _failed_names(distribution: Distribution) -> dict[str, list[str]]:
    """Wait for all declared resources; return the names of those that failed, by lab label."""
    parts = [(label, lab.declared) for label, lab in distribution.labs.items()]
    parts += [("", gallery.declared) for gallery in distribution.galleries]
    found: dict[str, list[str]] = {}
    for label, declared in parts:
        ended = await asyncio.gather(*map(_is_done, declared))
        names = {each.pulumi_resource_name for each, done in zip(declared, ended, strict=True) if not done}
        if names and not pulumi.runtime.is_dry_run():
            found[label] = sorted(name.removeprefix(f"{label}/") for name in names)
    return found


async def _is_done(resource: pulumi.Resource) -> bool:
    """Wait for a resource; return whether it is done. A preview does not know all outputs of one that it creates."""
    outputs = [each for each in vars(resource).values() if isinstance(each, pulumi.Output)]
    known = await asyncio.gather(*(each.is_known() for each in outputs), return_exceptions=True)
    return all(one is True for one in known)


def _keep(
    distribution: Distribution, settings: Settings, state: StackState, only: Collection[str] | None
) -> Iterator[tuple[str, str]]:
    """Declare as the state has it what the run would delete: of labs with these labels, None: of all. Yield its lab and
    name."""
    copier = distribution.copier
    labels = {name.rpartition("/")[0] for name in state.chains}
    for label in sorted(labels if only is None else labels & set(only)):
        lab = distribution.labs.get(label)
        names = _others(state.of_lab(label), lab.declared if lab else (), f"{label}/")
        if not names:
            continue
        with short_stacks():
            if lab:
                lab.keep(names)
            else:
                subscription = state.subscriptions.get(label)
                azure = {"azure-native": distribution.azure(subscription)} if subscription else {}
                providers = {**azure, "vhdcopy": copier}
                distribution.labs[label] = LabImages(label, None, names, _NOWHERE, settings, state, providers)
        yield from ((label, name) for name in names)
    if state.gallery and (only is None or "" in only):
        yield from (("", name) for name in _keep_gallery(distribution, settings, state))


def _keep_gallery(distribution: Distribution, settings: Settings, state: StackState) -> Iterator[str]:
    with short_stacks():
        if not distribution.galleries:
            azure = distribution.azure(state.gallery_subscription)
            providers = {"azure-native": azure, "vhdcopy": distribution.copier}
            distribution.galleries.append(ImageGallery(None, _NOWHERE, settings, state, providers))
            yield from (name for kind in _GALLERY_KINDS for name in state.gallery.get(kind, {}))
            return
        (gallery,) = distribution.galleries
        for kind in _GALLERY_KINDS:
            of_kind = [each for each in gallery.declared if each.pulumi_resource_type == kind]
            names = _others(state.gallery.get(kind, {}), of_kind)
            gallery.keep(kind, *names)
            yield from names


def _others(names: Iterable[str], declared: Iterable[pulumi.Resource], prefix: str = "") -> list[str]:
    """Return the names that no declared resource has."""
    found = {each.pulumi_resource_name for each in declared}
    return [name for name in names if f"{prefix}{name}" not in found]
