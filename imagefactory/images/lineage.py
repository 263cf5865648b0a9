"""Lineage: the VM, disk, commit and pipeline run from which a factory image was created.

Defines its keys in companions and blob metadata, and reads the variables of the common CI systems. Does not query
Azure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

MAX_TAG_VALUE = 256
"""The longest value of a tag in Azure Resource Manager, in characters."""
SHORT_COMMIT = 12
"""Characters of a commit's hash that identify it in any repository."""

_KEYS = {
    "vm": "vm",
    "disk": "disk",
    "disk_id": "diskUniqueId",
    "commit": "commit",
    "pipeline_run": "pipelineRun",
    "disk_released": "diskReleased",
}
_COMMITS = ("BUILD_SOURCEVERSION", "GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT")
_RUNS = ("CI_PIPELINE_URL", "BUILD_URL")
"""GitLab and Jenkins set the URL of the run; Azure Pipelines and GitHub set its parts."""


@dataclass(frozen=True)
class Lineage:
    """The origin of an image; a field is empty if it is unknown."""

    vm: str = ""
    """ARM id of the lab VM."""
    disk: str = ""
    """ARM id of its OS disk."""
    disk_id: str = ""
    """Azure's id of that disk (`properties.uniqueId`), which differs if a VM of the same name is recreated."""
    commit: str = ""
    pipeline_run: str = ""
    """URL of the pipeline run that saved it."""
    disk_released: str = ""
    """The saved state of that disk: its `ManagedDisk.released` at that time. Older versions did not record it."""

    @staticmethod
    def read(facts: Mapping[str, object]) -> Lineage:
        """Read a companion or metadata, with keys in lower case; skip values that are not strings."""
        values = {name: facts.get(key.lower()) for name, key in _KEYS.items()}
        return Lineage(**{name: value for name, value in values.items() if isinstance(value, str)})

    def facts(self) -> dict[str, str]:
        """Return the facts for a companion, by their keys."""
        return {_KEYS[each.name]: getattr(self, each.name) for each in fields(self)}


def of_pipeline(environment: Mapping[str, str]) -> Lineage:
    """Return commit and pipeline run from the variables of Azure Pipelines, GitHub Actions, GitLab or Jenkins."""
    commit = next((environment[name] for name in _COMMITS if environment.get(name)), "")
    run = next((environment[name] for name in _RUNS if environment.get(name)), "")
    if environment.get("BUILD_BUILDID") and environment.get("SYSTEM_TEAMPROJECT"):
        project = f"{environment.get('SYSTEM_COLLECTIONURI', '').rstrip('/')}/{environment['SYSTEM_TEAMPROJECT']}"
        run = f"{project}/_build/results?buildId={environment['BUILD_BUILDID']}".replace(" ", "%20")
    elif environment.get("GITHUB_RUN_ID"):
        server, repository = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_REPOSITORY", "")
        run = f"{server}/{repository}/actions/runs/{environment['GITHUB_RUN_ID']}"
    return Lineage(commit=commit, pipeline_run=run)


def short_commit(commit: str) -> str:
    """Return a commit's hash in its usual short form; return any other string unchanged."""
    return commit[:SHORT_COMMIT] if re.fullmatch(f"[0-9A-Fa-f]{{{SHORT_COMMIT},}}", commit) else commit
