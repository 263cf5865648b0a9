"""How several stacks divide the labs of one labs file among them, by `labsMatching`.

If one stack has the setting, each lab must be served by exactly one of those with the same factory. Otherwise nothing
is checked: a stack without the setting serves all labs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.labs_matching import matching_findings, served_labs
from imagefactory.configuration.stack_settings import StackBasics
from imagefactory.diagnostics import Diagnostic, Location, error


def placed(diagnostic: Diagnostic, stack: str) -> Diagnostic:
    """Return a diagnostic of the settings of a stack with the stack's file; unchanged if no stack is given."""
    return replace(diagnostic, location=Location(f"Pulumi.{stack}.yaml")) if stack else diagnostic


def split_findings(stacks: Mapping[str, StackBasics], labs: Sequence[TargetLab]) -> Iterator[Diagnostic]:
    """Yield an error for each lab that no stack or several stacks serve, and for entries that match no lab.

    `stacks` use the labs file of `labs`, by their names.
    """
    for name, stack in sorted(stacks.items()):
        yield from (placed(one, name) for one in matching_findings(stack.labs_matching, labs))
    for group in _groups(stacks):
        if any(stack.labs_matching for stack in group.values()):
            yield from _of_group(group, labs)


def _of_group(stacks: Mapping[str, StackBasics], labs: Sequence[TargetLab]) -> Iterator[Diagnostic]:
    served = {name: frozenset(served_labs(stack.labs_matching, labs)) for name, stack in stacks.items()}
    everything = [name for name, stack in stacks.items() if stack.labs_matching is None]
    for lab in labs:
        serving = [name for name in stacks if lab in served[name]]
        subject = f"lab {lab.label}"
        if not serving:
            fact = f"no stack serves it: labsMatching of {_listed(list(stacks))} does not match it"
            remedy = "Extend labsMatching of one of them, or remove the lab from the file"
            yield error(
                subject, fact, "it gets no images, and a stack that has served it deletes them", remedy, lab.location
            )
        elif len(serving) > 1:
            fact = f"stacks {_listed(serving)} serve it (setting labsMatching)"
            remedy = f"Let labsMatching of only one of them match it{_lacking(everything)}"
            consequence = "one of them makes its images, and the others warn of them in each run"
            yield error(subject, fact, consequence, remedy, lab.location)


def _lacking(everything: Sequence[str]) -> str:
    return f"; without the setting, a stack serves all labs, as {_listed(everything)}" if everything else ""


def _groups(stacks: Mapping[str, StackBasics]) -> list[dict[str, StackBasics]]:
    """Return the stacks by their factory; a factory without resource group may be any of its name."""
    vague = {stack.factory.key[:2] for stack in stacks.values() if not stack.factory.key.resource_group}
    found: dict[tuple[str, ...], dict[str, StackBasics]] = {}
    for name, stack in sorted(stacks.items()):
        key = stack.factory.key
        found.setdefault(key[:2] if key[:2] in vague else key, {})[name] = stack
    return list(found.values())


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
