"""All checks of a stack, side by side, within a minute. Writes nothing, but for the probes that are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import yaml

from imagefactory.azure.connect import connect
from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.core.signed_in import SignedIn, signed_in
from imagefactory.azure.lab_machines import with_machines
from imagefactory.azure.lab_storage import learn_endpoints
from imagefactory.azure.observe import find_labs
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.factory_container import CONTAINER, read_catalog
from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.loading import Configuration, load_of_stack
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic, Location
from imagefactory.doctor.access import (
    READ,
    REQUEST_SECONDS,
    WRITE,
    Probes,
    clock_check,
    guarded,
    of_writing,
    sign_in_check,
)
from imagefactory.doctor.checks import FACTORY, STACK, Check, of_diagnostic, ordered, some, too_late, unexpected
from imagefactory.doctor.gallery import examine_gallery, parts_checks
from imagefactory.doctor.stack import check_state
from imagefactory.doctor.storage import account_checks, lab_check
from imagefactory.doctor.tools import check_tools
from imagefactory.errors import ConfigurationError, ImageFactoryError
from imagefactory.images.catalog import Catalog
from imagefactory.observed.blobs import STAGING_CONTAINER
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.delivery import delivery_of
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.stacks.deletions import too_many_deletions
from imagefactory.state.edits import StackName
from imagefactory.state.stack_state import StackState

_LABS_SECONDS = 32.0
"""How long reading all labs may take: lists, images, accounts and VMs, one after the other, each with its own limit."""
_CATALOG_SECONDS = 15.0
_TOOLS_SECONDS = 30.0


@dataclass(frozen=True)
class Request:
    """What to examine."""

    stack: StackName
    settings: Settings
    writes: bool = False
    """Whether a blob is written to each account and deleted again."""


@dataclass(frozen=True)
class Seen:
    """What was read of Azure, for the plan."""

    factory: LabFacts
    labs: Mapping[LabKey, LabFacts | Diagnostic]
    catalog: Catalog
    gallery: GalleryFacts | Diagnostic | None = None


@dataclass(frozen=True)
class _Subject:
    """A lab or the factory, which has the label `FACTORY`, and the container that matters in its account."""

    lab: TargetLab
    facts: LabFacts | Diagnostic
    container: str
    needs_account: bool = True
    """Whether VHDs are copied to its account; not to that of a lab that gets images by a gallery only."""

    @property
    def account_id(self) -> str | None:
        """None: it has no account, or needs none, or could not be read."""
        return self.facts.storage_account_id if self.needs_account and isinstance(self.facts, LabFacts) else None


async def examine(request: Request) -> list[Check]:
    """Return all checks in their order. Raises nothing."""
    configuration, found = _configuration(request.settings)
    tools = asyncio.ensure_future(_tools())
    state = asyncio.ensure_future(_state(request))
    try:
        checks, seen = await _cloud(request, configuration)
        stated, recorded = await state
        found += [*await tools, *stated, *_foreign_options(request.stack), *checks]
        if configuration and seen:
            found += _planned(request, configuration, seen, recorded, found)
        elif configuration:
            fact = "not known, because labs, factory or catalog cannot be read"
            found.append(Check(STACK, "images not in the state", "unknown", fact, "Fix that, then run again"))
    finally:
        for task in (tools, state):
            task.cancel()
    return ordered(found)


async def _tools() -> list[Check]:
    try:
        return await asyncio.wait_for(check_tools(), _TOOLS_SECONDS)
    except asyncio.TimeoutError:
        return [too_late(STACK, "tools", _TOOLS_SECONDS)]
    except Exception as problem:
        return [unexpected(STACK, "tools", problem)]


async def _state(request: Request) -> tuple[list[Check], StackState | None]:
    try:
        checked = check_state(request.stack, cloud_of(request.settings))
        return await asyncio.wait_for(checked, _TOOLS_SECONDS)
    except asyncio.TimeoutError:
        return [too_late(STACK, "state backend", _TOOLS_SECONDS)], None
    except Exception as problem:
        return [unexpected(STACK, "state backend", problem)], None


def _configuration(settings: Settings) -> tuple[Configuration | None, list[Check]]:
    name = settings.labs
    try:
        found = load_of_stack(settings)
    except ConfigurationError as problem:
        return None, [of_diagnostic(STACK, name, each) for each in problem.diagnostics]
    checks = [of_diagnostic(STACK, name, each) for each in found.warnings]
    fact = f"valid; labs: {len(found.labs)}, golden images: {len(found.golden_images)}"
    return found, [*checks, Check(STACK, name, "ok", fact)]


def _foreign_options(stack: StackName) -> Iterator[Check]:
    """Yield options of azure-native in the stack file, which the program and the plugin do not read."""
    try:
        document = yaml.safe_load(Path(f"Pulumi.{stack.name}.yaml").read_text(encoding="utf-8"))
        names = [name for name in document.get("config") or () if str(name).startswith("azure-native:")]
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        return
    if names:
        fact = f"Pulumi.{stack.name}.yaml has {', '.join(map(str, names))}, which only azure-native reads"
        yield Check(STACK, "sign-in options", "warning", fact, "Set ARM_* variables instead, which all of them read")


async def _cloud(request: Request, configuration: Configuration | None) -> tuple[list[Check], Seen | None]:
    try:
        async with connect(request.settings, REQUEST_SECONDS) as (arm, accounts):
            who: list[SignedIn] = []

            async def ask() -> Check:
                who.append(await signed_in(arm.credential, arm.cloud.scope))
                return sign_in_check(arm, who[0])

            sign_in = await guarded(STACK, "sign-in", ask())
            if not who:
                return [sign_in, _unread("nobody is signed in")], None
            method = request.settings.copying.method
            uses_keys, lists = request.settings.storage_auth == "key", request.settings.keep_used_days is not None
            probes = Probes(arm, accounts, uses_keys, method == "service", who[0], lists)
            checks, seen = await _signed_in(request, configuration, probes)
            return [sign_in, clock_check(arm.clock.ahead), *checks], seen
    except ImageFactoryError as problem:
        return [Check(STACK, "sign-in", "failure", str(problem)), _unread("nobody is signed in")], None
    except Exception as problem:
        return [unexpected(STACK, "labs and storage", problem)], None


def _unread(why: str) -> Check:
    return Check(STACK, "labs and storage", "unknown", f"not checked, because {why}", "Fix that, then run again")


async def _signed_in(
    request: Request, configuration: Configuration | None, probes: Probes
) -> tuple[list[Check], Seen | None]:
    settings, arm, accounts = request.settings, probes.arm, probes.accounts
    targets = configuration.labs if configuration else ()
    subscriptions = sorted({settings.factory.key.subscription_id, *(lab.key.subscription_id for lab in targets)})
    (factory, labs), early = await asyncio.gather(
        _labs(arm, settings, configuration),
        asyncio.gather(
            *(
                guarded(STACK, name, ask())
                for subscription in subscriptions
                for name, ask in probes.at_subscription(subscription).items()
            )
        ),
    )
    if factory is None:
        return [*early, _unread(f"the labs could not be read within {_LABS_SECONDS:g} s")], None
    learn_endpoints(accounts, (factory, *labs.values()))
    stack_file = Location(f"Pulumi.{request.stack.name}.yaml")
    own = TargetLab(settings.factory.subscription_id, settings.factory.lab_name, None, (), stack_file, FACTORY)
    subjects = [
        _Subject(own, factory, CONTAINER),
        *(_Subject(lab, labs[lab.key], STAGING_CONTAINER, delivery_of(lab, settings) != "gallery") for lab in targets),
    ]
    by_account: dict[str, list[_Subject]] = {}
    for each in subjects:
        if each.account_id:
            by_account.setdefault(each.account_id.lower(), []).append(each)
    writes = [asyncio.ensure_future(_written(probes, each)) for each in by_account.values() if request.writes]
    try:
        catalog, offered, found, written = await asyncio.gather(
            _catalog(accounts, factory),
            examine_gallery(probes, settings, factory, targets, labs),
            asyncio.gather(*(_subject(probes, each, factory, by_account, request) for each in subjects)),
            asyncio.gather(*writes),
        )
    finally:
        if writes:  # a canceled `gather` does not wait for them
            await asyncio.wait(writes)
    checks = [*early, *offered.checks, *(check for each in (*found, *written) for check in each)]
    if isinstance(catalog, Check):
        return [*checks, catalog], None
    if not isinstance(factory, LabFacts) or not catalog:
        return checks, None
    return checks, Seen(factory, offered.labs, catalog, offered.gallery)


async def _labs(
    arm: ResourceManager, settings: Settings, configuration: Configuration | None
) -> tuple[LabFacts | Diagnostic | None, Mapping[LabKey, LabFacts | Diagnostic]]:
    async def find() -> tuple[LabFacts | Diagnostic, Mapping[LabKey, LabFacts | Diagnostic]]:
        factory, labs = await find_labs(arm, settings, configuration)
        return factory, await with_machines(arm, settings, labs)

    try:
        return await asyncio.wait_for(find(), _LABS_SECONDS)
    except asyncio.TimeoutError:
        return None, {}


async def _catalog(accounts: StorageAccounts, factory: LabFacts | Diagnostic) -> Catalog | Check | None:
    """Return the catalog, or why it cannot be read; None if that follows from another check."""
    if isinstance(factory, Diagnostic) or not factory.storage_account_id:
        return None
    found: list[Catalog] = []

    async def read() -> Check:
        found.append(await read_catalog(accounts, factory))
        return Check(FACTORY, "catalog", "ok", f"{len(found[0].images)} images")

    check = await guarded(FACTORY, "catalog", read(), _CATALOG_SECONDS)
    return found[0] if found else check


async def _subject(
    probes: Probes,
    about: _Subject,
    factory: LabFacts | Diagnostic,
    by_account: Mapping[str, Sequence[_Subject]],
    request: Request,
) -> list[Check]:
    """Return the checks of one lab, or of the factory, but for what is written."""
    subject, facts, account_id = about.lab.label, about.facts, about.account_id
    found = lab_check(subject, facts, factory)
    if isinstance(facts, Diagnostic):
        return [found]
    asked = dict(probes.at_lab(subject, facts.id, facts.subscription_id))
    if account_id:
        asked |= {READ: lambda: probes.read(subject, account_id, about.container)}
        asked |= {} if request.writes else {WRITE: lambda: probes.may_write(subject, account_id)}
        asked |= probes.at_account(subject, account_id)
    checks = await asyncio.gather(*(guarded(subject, name, ask()) for name, ask in asked.items()))
    checks = [of_writing(subject, each) if each.name == WRITE else each for each in checks]
    readable = next((each for each in checks if each.name == READ), found)
    sharing = [each.lab.label for each in by_account.get((account_id or "").lower(), ()) if each is not about]
    if not about.needs_account:
        return [found, *checks]
    return [found, *account_checks(subject, about.lab, facts, sharing, readable, uses_keys=probes.uses_keys), *checks]


async def _written(probes: Probes, sharing: Sequence[_Subject]) -> list[Check]:
    """Write to an account; return the check for each subject that has it."""
    first = sharing[0]
    check = await guarded("", WRITE, probes.write(first.account_id or "", first.container))
    return [of_writing(each.lab.label, check) for each in sharing]


def _planned(
    request: Request,
    configuration: Configuration,
    seen: Seen,
    state: StackState | None,
    before: Sequence[Check],
) -> Iterator[Check]:
    """Yield what a plan says of the images that exist, and its failures that no check before it has."""
    name = "images not in the state"
    if state is None:
        yield Check(STACK, name, "unknown", "not known, because the state cannot be read", "Fix that, then run again")
        return
    plan = build_plan(
        configuration,
        seen.catalog.in_case_of(configuration.image_paths),
        seen.factory,
        seen.labs,
        request.settings,
        state.images,
        state.recorded,
        str(request.stack),
        seen.gallery,
        state.recorded_gallery,
        datetime.now(timezone.utc),
    )
    labels = {lab.key: lab.label for lab in configuration.labs}
    command = f"imagefactory adopt --stack {request.stack.name}"
    found = [of_diagnostic(labels[one.lab.key], "place", one.diagnostic(command)) for one in plan.moved]
    found += _standing(plan, labels, command, name)
    found += parts_checks(plan.gallery, command)
    yield from found
    told = "\n".join(check.fact for check in (*before, *found))
    stop = too_many_deletions(
        plan, state.images, state.recorded_gallery, seen.catalog, request.settings, request.stack.name
    )
    for failure in (*plan.failures, *([stop] if stop else ())):
        if failure.fact not in told and failure.subject != f"state of stack {request.stack.name}":
            yield of_diagnostic(STACK, "plan", failure)


def _standing(plan: Plan, labels: Mapping[LabKey, str], command: str, name: str) -> Iterator[Check]:
    for lab in plan.labs:
        names = [one.image.name for one in lab.unadopted]
        if names:
            fact = f"{some(names)} exist and are not in the state, so a run neither changes them nor ends well"
            yield Check(labels[lab.lab.key], name, "failure", fact, f"Run {command}")
        else:
            yield Check(labels[lab.lab.key], name, "ok", "none")
