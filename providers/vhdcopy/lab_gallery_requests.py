"""The requests of `LabGallery`: reads and corrects the attachment of a gallery and the definitions in a lab.

Tries again what the lab does not list yet, and lets no failed definition stop the others. Loads the Azure SDK, which a
preview does not need. Decides nothing: `imagefactory.planning.galleries` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic

from imagefactory.azure import lab_galleries
from imagefactory.azure.core.errors import CloudError, consequence
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.copying.copier import poll_delay
from imagefactory.diagnostics import error
from imagefactory.observed.lab_galleries import Attachment, LabDefinition
from imagefactory.planning.galleries.attachment import WantedGallery, attachment_problem, to_write
from providers.vhdcopy.progress import Row

LISTED_SECONDS = 600.0
"""How long a rejected definition is tried again while the lab does not list it: Azure needs some minutes until a lab
lists a new one (the tests of Microsoft's module Az.DevTestLabs2 wait up to 10 minutes)."""

_REJECTED = frozenset({400, 404, 409})
"""The status of a request that may succeed once the lab lists the definition."""

Failures = Mapping[str, tuple[LabDefinition, CloudError]]
"""By the key of the definition: what could not be written, and why."""


async def attachments(arm: ResourceManager, lab_id: str) -> tuple[Attachment, ...] | None:
    """Return the galleries that a lab has attached; None: the lab does not exist. Raises `CloudError`."""
    with consequence("its gallery is not changed"):
        return await lab_galleries.attachments(arm, lab_id)


async def definitions(arm: ResourceManager, lab_id: str, attachment: str) -> tuple[LabDefinition, ...]:
    """Return the definitions that the lab lists of an attached gallery. Raises `CloudError`."""
    with consequence("the definitions of its gallery are not changed"):
        return await lab_galleries.definitions(arm, lab_id, attachment)


async def correct(
    arm: ResourceManager, lab_id: str, wanted: WantedGallery, standing: Attachment | None, row: Row
) -> None:
    """Attach the gallery (`standing`: as it is attached), then enable and disable definitions, as far as they differ.

    Raises `CloudError`; the one about definitions names each.
    """
    attachment = standing or Attachment(wanted.name, wanted.gallery_id)
    if standing is None or attachment_problem(wanted, standing):
        row.say("attaching the gallery")
        with consequence("no image of the gallery is enabled"):
            await lab_galleries.attach(arm, lab_id, replace(attachment, location=wanted.location, allows_all=False))
    listed = await definitions(arm, lab_id, attachment.name)
    if failures := await _corrected(arm, lab_id, wanted, attachment.name, listed, row):
        raise _summary(lab_id, failures)


async def detach(arm: ResourceManager, lab_id: str, attachment: Attachment) -> None:
    """Detach a gallery. Raises `CloudError`."""
    with consequence("its gallery is not detached"):
        await lab_galleries.detach(arm, lab_id, attachment.name)


async def _corrected(
    arm: ResourceManager,
    lab_id: str,
    wanted: WantedGallery,
    attachment: str,
    listed: Sequence[LabDefinition],
    row: Row,
) -> Failures:
    """Write the definitions that differ from those listed; return what failed."""
    began = monotonic()
    failures = await _written(arm, lab_id, attachment, to_write(wanted, listed))
    while late := {key for key, (_, problem) in failures.items() if problem.status in _REJECTED} - _keys(listed):
        elapsed = monotonic() - began
        if elapsed > LISTED_SECONDS:
            return {
                key: (each, _unlisted(problem) if key in late else problem) for key, (each, problem) in failures.items()
            }
        row.say(f"waiting until the lab lists {', '.join(sorted(late))}")
        await asyncio.sleep(poll_delay(elapsed))
        listed = await definitions(arm, lab_id, attachment)
        now = late & _keys(listed)
        again = [each for each in to_write(wanted, listed) if each.definition.key in now]
        written = await _written(arm, lab_id, attachment, again)
        failures = {**{key: failure for key, failure in failures.items() if key not in now}, **written}
    return failures


async def _written(arm: ResourceManager, lab_id: str, attachment: str, wanted: Sequence[LabDefinition]) -> Failures:
    """Write definitions, as many at a time as the resource manager's pace permits; return what failed."""
    requests = (lab_galleries.set_definition(arm, lab_id, attachment, each) for each in wanted)
    results = await asyncio.gather(*requests, return_exceptions=True)
    failures = {}
    for each, result in zip(wanted, results, strict=True):
        if isinstance(result, CloudError):
            failures[each.definition.key] = each, result
        elif result is not None:
            raise result
    return failures


def _keys(listed: Iterable[LabDefinition]) -> set[str]:
    return {each.definition.key for each in listed}


def _unlisted(problem: CloudError) -> CloudError:
    """Return the error of a definition that the lab never listed."""
    fact = f"the lab does not list it after {LISTED_SECONDS / 60:g} min; {problem.diagnostic.fact}"
    remedy = "Check that the gallery has this definition, then run again"
    return CloudError(replace(problem.diagnostic, fact=fact, remedy=remedy), problem.status, problem.code)


def _summary(lab_id: str, failures: Failures) -> CloudError:
    """Return one error for all definitions, those with the same reason together."""
    reasons: dict[tuple[str, str], list[str]] = {}
    remedies: dict[str, None] = {}
    for _, (wanted, problem) in sorted(failures.items(), key=lambda failure: failure[0]):
        verb = "enable" if wanted.enabled else "disable"
        reasons.setdefault((verb, problem.diagnostic.fact), []).append(wanted.definition.name)
        remedies[problem.diagnostic.remedy] = None
    fact = "; ".join(f"cannot {verb} {', '.join(names)} ({why})" for (verb, why), names in reasons.items())
    told = max((problem for _, problem in failures.values()), key=lambda problem: problem.status in {401, 403})
    subject = f"lab '{lab_id.rpartition('/')[2]}'"
    diagnostic = error(subject, fact, "the gallery's other definitions are as wanted", ". ".join(remedies))
    return CloudError(diagnostic, told.status, told.code)
