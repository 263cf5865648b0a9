"""Which custom images and gallery versions VMs of the labs were created from lately (setting `keepUsedDays`).

If in doubt, an image is in use: a VM without a readable date counts as created now, and VMs that could not be listed as
created from all images of their lab. Does not decide what follows: the modules `retirement` do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.observed.lab_machines import LabMachine
from imagefactory.observed.standing_gallery import StandingVersion
from imagefactory.observed.standing_labs import LabFacts, StandingImage

_SPREAD = timedelta(days=1)
"""How long after its publication the newest version may still be missing in the region of a lab."""
_SETTING = "(setting keepUsedDays)"


class Uses:
    """What VMs were created from less than `keepUsedDays` before `now`; None: at any time."""

    def __init__(self, policy: Policy, now: datetime | None) -> None:
        self._days, self._now = policy.keep_used_days, now

    def of_image(self, lab: LabFacts, image: StandingImage) -> str:
        """Return why VMs keep an image in its lab; empty if they do not."""
        if self._days is None:
            return ""
        if not isinstance(lab.machines, tuple):
            return f"the VMs of the lab could not be listed, and may be created from it {_SETTING}"
        return self._told((one for one in lab.machines if one.image == fold(image.name)), "")

    def of_version(
        self,
        labs: Iterable[tuple[str, LabFacts | None]],
        definition: str,
        version: StandingVersion,
        others: Iterable[StandingVersion],
    ) -> str:
        """Return why VMs of labs (by label; None: not read) keep a version of a definition; empty if they do not.

        `others` are the versions of the definition: a VM that names none was created from the newest one.
        """
        if self._days is None:
            return ""
        newer = [each for each in others if numbers(each.name) > numbers(version.name)]
        for label, facts in labs:
            if facts is None or not isinstance(facts.machines, tuple):
                return f"the VMs of lab {label} could not be listed, and may be created from it {_SETTING}"
            used = (
                one
                for one in facts.machines
                if one.definition == fold(definition)
                and (one.version == version.name if one.version else _was_newest(one, version, newer))
            )
            if told := self._told(used, f" of lab {label}"):
                return told
        return ""

    def failures(self, lab: TargetLab, facts: LabFacts) -> Iterator[Diagnostic]:
        """Yield the failure about a lab whose VMs could not be listed."""
        if self._days is not None and isinstance(facts.machines, Diagnostic):
            consequence = f"the lab gets its images, and keeps all that may be in use {_SETTING}"
            yield replace(facts.machines, severity=Severity.ERROR, consequence=consequence, location=lab.location)

    def _told(self, machines: Iterable[LabMachine], place: str) -> str:
        recent = sorted(filter(self._is_recent, machines), key=lambda one: (one.created is None, fold(one.name)))
        if not recent:
            return ""
        first = recent[0]
        others = f" and {len(recent) - 1} more" if len(recent) > 1 else ""
        when = (
            f"less than {self._days} day{'' if self._days == 1 else 's'} ago" if first.created else "at an unknown time"
        )
        were = "were" if others else "was"
        return f"VM {first.name}{others}{place} {were} created from it {when} {_SETTING}"

    def _is_recent(self, machine: LabMachine) -> bool:
        if machine.created is None or self._now is None:
            return True
        return self._now - machine.created < timedelta(days=self._days or 0)


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version's name, by which versions are ordered."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _was_newest(machine: LabMachine, version: StandingVersion, newer: Iterable[StandingVersion]) -> bool:
    """Return whether a version may have been the newest one in its region when a VM was created."""
    if machine.created is None:
        return True
    published, at = version.published, machine.created
    if published and published > at:
        return False
    return not any(then and at - then >= _SPREAD for then in (each.published for each in newer))
