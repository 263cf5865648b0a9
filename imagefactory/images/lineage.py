"""Lineage: of which VM, disk, commit and pipeline run a factory image was made.

Owns the names under which companions and blob metadata tell it, and the variables in which the usual CI systems tell
theirs. It asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

MAX_TAG_VALUE = 256
"""Characters of a tag's value in Azure Resource Manager."""
SHORT_COMMIT = 12
"""Characters of a commit's hash that tell it from the others of any repository."""

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
"""GitLab and Jenkins tell the run's address whole; Azure Pipelines and GitHub tell its parts."""


@dataclass(frozen=True)
class Lineage:
    """What an image was made of; a text is empty where nobody told it."""

    vm: str = ""
    """ARM id of the lab VM."""
    disk: str = ""
    """ARM id of its OS disk."""
    disk_id: str = ""
    """Azure's own id of that disk (`properties.uniqueId`): a VM made anew under the same name has another one."""
    commit: str = ""
    pipeline_run: str = ""
    """Address of the pipeline run that saved it."""
    disk_released: str = ""
    """State of that disk that was saved: its `ManagedDisk.released` at that time; older versions did not record it."""

    @staticmethod
    def read(facts: Mapping[str, object]) -> Lineage:
        """From a companion or metadata, whose keys are in lower case; what is no text is passed over."""
        told = {name: facts.get(key.lower()) for name, key in _KEYS.items()}
        return Lineage(**{name: value for name, value in told.items() if isinstance(value, str)})

    def facts(self) -> dict[str, str]:
        """For a companion."""
        return {_KEYS[each.name]: getattr(self, each.name) for each in fields(self)}


def of_pipeline(environment: Mapping[str, str]) -> Lineage:
    """Commit and pipeline run as Azure Pipelines, GitHub Actions, GitLab or Jenkins tell them."""
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
    """A commit as people quote it; what is no hash stays whole."""
    return (
        commit[:SHORT_COMMIT]
        if len(commit) >= SHORT_COMMIT and set(commit.lower()) <= set("0123456789abcdef")
        else commit
    )
