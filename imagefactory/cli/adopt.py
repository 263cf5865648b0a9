"""`imagefactory adopt`: takes images that stand in the labs or the gallery over into the state of a stack.

Parses the options, prompts, and renders plan and result. Does not plan or edit the state: `imagefactory.state.adopt`
does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagefactory.cli.stack import AsJson, Stack, project_name, stacks_with_factory_of
from imagefactory.cli.terminal.interruption import Ended, run
from imagefactory.cli.terminal.output import count, say
from imagefactory.cli.terminal.report import Lines, Part, Report, Table, completed, finish, interrupt, show
from imagefactory.diagnostics import error
from imagefactory.errors import ConfigurationError

if TYPE_CHECKING:
    from imagefactory.planning.stacks.adoption import LabAdoption
    from imagefactory.planning.stacks.gallery_adoption import GalleryAdoption, PartFinding
    from imagefactory.state.adopt import Planned

_NOTHING = "Interrupted; the state is as before."
_COMPLETE = "Interrupted; the change of the state is complete."
_DONE = {"take over": "taken over", "move": "moved"}


def adopt(
    stack: Stack,
    lab: Annotated[
        list[str] | None, typer.Option("--lab", metavar="NAME", help="Only this lab, by name or label (repeatable)")
    ] = None,
    other: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STACK", help="Also take over images that this stack of the project created or has"
        ),
    ] = None,
    retire: Annotated[
        bool,
        typer.Option(
            "--retire",
            help="Also take over the factory's images that the plan does not contain; pulumi up deletes them",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be taken over")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take over without a prompt")] = False,
    as_json: AsJson = False,
) -> None:
    """Take over images that exist in the labs into the state of the stack.

    For labs that the PowerShell scripts filled, a state that was lost, a run that was killed and a lab that moved to
    another resource group or subscription. Run it before `pulumi up`, which then copies nothing for these images and
    leaves them as they are. Takes over images that the plan contains, and those that this stack created; likewise the
    Compute Gallery of the stack with its definitions and versions. Images that the factory did not create, or that
    another stack created, are only shown. If a lab or the gallery cannot be read, everything else is taken over, and
    the exit code is 1: run the command again after you fixed what it reports. You need not wait for that to run
    `pulumi up`, which updates the other labs.

    Writes nothing to Azure. Changes the state in one step, after a backup to .imagefactory/backups. Works on a new
    stack, too: adds the providers and components that the images need. If there is nothing to take over, changes
    nothing.

    Exit codes: 0 everything is taken over or you declined, 1 a lab, the gallery, the factory or the state cannot be
    read, or the state cannot be written, 2 wrong usage or configuration.
    """
    _check_usage(dry_run=dry_run, yes=yes, as_json=as_json)
    settings, *_ = (stacks := stacks_with_factory_of(stack)).values()
    from imagefactory.state import adopt as adopting
    from imagefactory.state.edits import StackName

    labs = frozenset(name.lower() for name in lab or ())
    siblings = {name: each for name, each in stacks.items() if name != stack}
    request = adopting.AdoptRequest(StackName(project_name(), stack), settings, labs, other, siblings, retire)
    planned = completed(run(adopting.plan(request)), _NOTHING)
    if not as_json:
        show(*_plan(planned))
    ended = Ended(planned)
    if (planned.images or planned.parts) and not dry_run:
        if not yes and not _confirmed(f"Take over {_taken(planned)} into stack {stack}?"):
            say("Nothing was taken over.")
            return
        ended = run(adopting.carry_out(planned), "finishing the change of the state")
    finish(ended, _report, as_json=as_json, interrupted=_NOTHING if ended.result is None else _COMPLETE)


def _check_usage(*, dry_run: bool, yes: bool, as_json: bool) -> None:
    if dry_run or yes or (sys.stdin.isatty() and not as_json):
        return
    fact = "--json cannot prompt" if as_json else "cannot prompt without a terminal"
    remedy = "Pass --yes to take over without a prompt, or --dry-run to preview"
    raise ConfigurationError([error("adopt", fact, "the state is not changed", remedy)])


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:  # Ctrl-C, or the end of the input
        interrupt(_NOTHING)


def _plan(planned: Planned) -> list[Part]:
    found = planned.adoption
    rows = [(lab.label, one.name, one.action, one.reason) for lab in found.labs for one in lab.findings]
    if found.gallery:
        label = f"gallery {found.gallery.facts.name}"
        rows += [(label, _shown(one), one.action, one.reason) for one in found.gallery.findings]
    lines = [f"{lab.label}: moved here from {lab.moved.origin}." for lab in found.labs if lab.moved]
    lines += [diagnostic.text() for diagnostic in (*found.failures, *planned.warnings)]
    table = Table("Images that are not in the state as they stand", ("Lab", "Image", "Action", "Reason"), rows)
    return [*([table] if rows else []), Lines([*lines, _totals(planned)])]


def _totals(planned: Planned) -> str:
    found = planned.adoption
    if not planned.images and not planned.parts:
        if found.left_out:
            return "Nothing to take over of what could be read."
        return "Nothing to take over: the state has all images that this stack manages."
    actions = [one.action for lab in found.labs for one in lab.findings]
    actions += [one.action for one in found.gallery.findings] if found.gallery else []
    left = [f"{number} {action}" for action in ("foreign", "not wanted", "gone") if (number := actions.count(action))]
    labs = sum(any(one.action in _DONE for one in lab.findings) for lab in found.labs)
    images = [f"{count(planned.images, 'image')} to take over in {count(labs, 'lab')}"] if planned.images else []
    parts = [f"{count(planned.parts, 'part')} of the gallery to take over"] if planned.parts else []
    return f"{' and '.join(images + parts)}{'; ' if left else ''}{', '.join(left)}."


def _taken(planned: Planned) -> str:
    images = [count(planned.images, "image")] if planned.images or not planned.parts else []
    parts = [f"{count(planned.parts, 'part')} of the gallery"] if planned.parts else []
    return " and ".join(images + parts)


def _shown(part: PartFinding) -> str:
    return "the gallery itself" if part.kind == "gallery" else part.name


def _report(planned: Planned) -> Report:
    """Return the findings and what was done as data; as text only what was done, because the plan was shown before."""
    unread = planned.adoption.left_out
    document = {
        "stack": str(planned.request.stack),
        "adopted": bool(planned.backups),
        "labs": [_lab(lab) for lab in planned.adoption.labs],
        "images": planned.images,
        "gallery": planned.adoption.gallery and _gallery(planned.adoption.gallery),
        "galleryParts": planned.parts,
        "backups": [path.as_posix() for path in planned.backups],
        "warnings": [warning.message() for warning in planned.warnings],
        "failures": [failure.message() for failure in planned.adoption.failures],
        "unread": unread,
    }
    lines = []
    if planned.backups:
        lines = [f"Took over {_taken(planned)}. The state before is in {_names(planned.backups)}."]
    command = f"imagefactory adopt --stack {planned.request.stack.name}"
    fact = f"Incomplete: nothing is taken over of {', '.join(unread)} (see the errors above)"
    problems = [f"{fact}. Fix them, then run {command} again."] if unread else []
    return Report(document, [Lines(lines), Lines(problems, style="yellow")], failed=bool(unread))


def _lab(lab: LabAdoption) -> dict[str, object]:
    moved = lab.moved
    return {
        "lab": lab.label,
        "id": lab.facts.id,
        "movedFrom": moved and {"subscriptionId": moved.old_subscription_id, "resourceGroup": moved.old_resource_group},
        "images": [
            {
                "name": one.name,
                "id": one.image.id if one.image else None,
                "imagePath": one.image.image_path if one.image else None,
                "state": one.image.state if one.image else None,
                "action": one.action,
                "reason": one.reason or None,
            }
            for one in lab.findings
        ],
    }


def _gallery(found: GalleryAdoption) -> dict[str, object]:
    def state(one: PartFinding) -> object:
        return ((one.part.answer.get("properties") or {}) if one.part else {}).get("provisioningState")

    return {
        "name": found.facts.name,
        "id": found.facts.id,
        "parts": [
            {
                "kind": one.kind,
                "name": one.name,
                "id": one.part.id if one.part else None,
                "imagePath": getattr(one.part, "image_path", None),
                "state": state(one),
                "action": one.action,
                "reason": one.reason or None,
            }
            for one in found.findings
        ],
    }


def _names(paths: tuple[Path, ...]) -> str:
    return " and ".join(path.as_posix() for path in paths)
