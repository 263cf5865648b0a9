"""`imagefactory clean-vms`: factory VMs whose images are saved are deleted.

Owns options, report and exit code. Which VMs go is decided by `imagefactory.cleaning`; `factory.clean` deletes them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cli.interruption import Interrupted, run
from cli.output import show_document, show_table, tell
from cli.stack import AsJson, Stack, stack_settings
from imagefactory.cleaning import CleanPlan, plan_clean
from imagefactory.faults import Fault
from imagefactory.image_path import fold
from imagefactory.image_tags import IMAGE_PATH_TAG
from imagefactory.settings import Settings

if TYPE_CHECKING:
    from imagefactory.cleaning import Deletion


@dataclass(frozen=True)
class Line:
    """One VM of the report; an error is why it was not deleted."""

    vm: str
    result: str
    image: str = ""
    message: str = ""
    error: bool = False


def clean_vms(
    stack: Stack,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted; touch nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the factory lab's VMs whose images are saved.

    A VM goes when a factory image was saved of its very disk, it was not used since, and it is deallocated. VMs with
    the tag FactoryIgnore stay; those that nobody tagged are reported.

    Exit codes: 0 all that was to go is gone, 1 something failed, 2 wrong usage or configuration.
    """
    settings = stack_settings(stack)
    lines: dict[str, Line] = {}
    try:
        run(
            _clean(settings, lines, dry_run=dry_run),
            lambda: tell("Stopping: what Azure has begun to delete is deleted.", err=True),
        )
    except Interrupted as stopped:
        _show(lines, dry_run=dry_run, as_json=as_json)
        tell("Interrupted; run the same command again to go on.", err=True)
        raise typer.Exit(stopped.exit_code) from None
    _show(lines, dry_run=dry_run, as_json=as_json)
    raise typer.Exit(1 if any(line.error for line in lines.values()) else 0)


async def _clean(settings: Settings, lines: dict[str, Line], *, dry_run: bool) -> None:
    from factory.clean import delete_all
    from imagefactory_azure.facts import connect, read_facts
    from imagefactory_azure.save_records import SaveRecords
    from imagefactory_azure.virtual_machines import factory_vms

    async with connect(settings) as (arm, accounts):
        facts = await read_facts(arm, accounts, settings, None)
        records, vms = await asyncio.gather(
            SaveRecords(accounts, facts.factory.storage_account_id or "").all(),
            factory_vms(arm, facts.factory, lambda vm: IMAGE_PATH_TAG in vm.tags),
        )
        plan = plan_clean(vms, facts.catalog, frozenset(record.guid for record in records))
        _tell_plan(plan, lines, dry_run=dry_run)
        if not dry_run:

            def ended(deletion: Deletion, refusal: str) -> None:
                name, image = deletion.vm.name, deletion.image.name
                lines[name] = Line(name, "failed" if refusal else "deleted", image, refusal, error=bool(refusal))
                tell(f"{name}: {lines[name].result}", err=True)

            await delete_all(arm, plan.deletions, ended)


def _tell_plan(plan: CleanPlan, lines: dict[str, Line], *, dry_run: bool) -> None:
    for deletion in plan.deletions:
        name = deletion.vm.name
        result = "would be deleted" if dry_run else "interrupted"
        lines[name] = Line(name, result, deletion.image.name, error=not dry_run)
    for kept in plan.kept:
        if isinstance(kept.reason, Fault):
            lines[kept.vm] = Line(kept.vm, "reported", message=kept.reason.message())
        else:
            lines[kept.vm] = Line(kept.vm, "kept", message=kept.reason)


def _show(lines: dict[str, Line], *, dry_run: bool, as_json: bool) -> None:
    ordered = [lines[name] for name in sorted(lines, key=fold)]
    if as_json:
        rows = [
            {"vm": line.vm, "result": line.result, "image": line.image or None, "message": line.message or None}
            for line in ordered
        ]
        show_document({"dryRun": dry_run, "vms": rows})
        return
    told = [line for line in ordered if line.error or line.result == "reported"]
    table = ((line.vm, line.result, line.image, "" if line in told else line.message) for line in ordered)
    show_table("VMs of the factory lab", ("VM", "Result", "Saved as", "Why"), table)
    tell(*(line.message for line in told))
