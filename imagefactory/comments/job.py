"""The pull request that the running job is about, from the variables of GitHub Actions or Azure Pipelines.

docs.github.com, "Variables reference"; learn.microsoft.com, "Use predefined variables". Sends no request.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imagefactory.comments import azure_repos, github
from imagefactory.comments.azure_repos import AzureReposPullRequest
from imagefactory.comments.github import GitHubPullRequest
from imagefactory.comments.web import Api, PullRequest
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError

_GITHUB = "the pull request on GitHub"
_AZURE = "the pull request in Azure Repos"


@dataclass(frozen=True)
class Job:
    """Where a job's comment goes, and what it is from: `fork` means that the job's token may not write."""

    pull_request: PullRequest
    commit: str
    run: str
    fork: bool


def job(environment: Mapping[str, str] = os.environ) -> Job:
    """Return the job that runs. Raises `ImageFactoryError` if it is not one of a pull request, or has no token."""
    if environment.get("TF_BUILD"):
        return _azure(environment)
    if environment.get("GITHUB_ACTIONS"):
        return _github(environment)
    fact = "this is no job of GitHub Actions or Azure Pipelines"
    raise _failed("comment", fact, "Run the command in a job of a pull request")


def _github(environment: Mapping[str, str]) -> Job:
    event = _event(environment.get("GITHUB_EVENT_PATH", ""))
    reference = re.fullmatch(r"refs/pull/(\d+)/\w+", environment.get("GITHUB_REF", ""))
    number = event.get("number") or (int(reference[1]) if reference else None)
    repository = environment.get("GITHUB_REPOSITORY", "")
    if not isinstance(number, int) or not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise _failed(_GITHUB, "the job is not one of a pull request", "Run it on the event pull_request")
    head = event.get("head") or {}
    source = (head.get("repo") or {}).get("full_name")
    token = _token(environment, "GITHUB_TOKEN", _GITHUB, "${{ github.token }}")
    url = environment.get("GITHUB_API_URL") or "https://api.github.com"
    api = Api(_GITHUB, url.rstrip("/"), token, github.PERMISSION, github.HEADERS)
    server = environment.get("GITHUB_SERVER_URL", "https://github.com")
    run = f"{server}/{repository}/actions/runs/{environment.get('GITHUB_RUN_ID', '')}"
    commit = str(head.get("sha") or environment.get("GITHUB_SHA", ""))
    # The head of a deleted fork is null.
    fork = bool(event) and str(source).lower() != repository.lower()
    return Job(GitHubPullRequest(api, repository, number), commit, run, fork)


def _event(path: str) -> Mapping[str, Any]:
    try:
        found = json.loads(Path(path).read_text("utf-8"))["pull_request"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _azure(environment: Mapping[str, str]) -> Job:
    provider = environment.get("BUILD_REPOSITORY_PROVIDER", "TfsGit")
    if provider != "TfsGit":
        fact = f"the repository is not in Azure Repos ({provider}), and the job has no token for it"
        raise _failed(_AZURE, fact, "See the plan on the page of the run, or use the workflows of GitHub")
    number = environment.get("SYSTEM_PULLREQUEST_PULLREQUESTID", "")
    collection = environment.get("SYSTEM_COLLECTIONURI", "").rstrip("/")
    project, repository = environment.get("SYSTEM_TEAMPROJECT", ""), environment.get("BUILD_REPOSITORY_ID", "")
    if not (re.fullmatch(r"\d+", number) and collection and project and repository):
        raise _failed(_AZURE, "the job is not one of a pull request", "Run it by the branch policy Build validation")
    token = _token(environment, "SYSTEM_ACCESSTOKEN", _AZURE, "$(System.AccessToken)")
    api = Api(_AZURE, collection, token, azure_repos.PERMISSION)
    run = f"{collection}/{quote(project)}/_build/results?buildId={environment.get('BUILD_BUILDID', '')}"
    commit = environment.get("SYSTEM_PULLREQUEST_SOURCECOMMITID") or environment.get("BUILD_SOURCEVERSION", "")
    fork = environment.get("SYSTEM_PULLREQUEST_ISFORK", "").lower() == "true"
    return Job(AzureReposPullRequest(api, project, repository, int(number)), commit, run, fork)


def _token(environment: Mapping[str, str], name: str, subject: str, value: str) -> str:
    if token := environment.get(name, "").strip():
        return token
    raise _failed(subject, f"{name} is not set", f"Add it to the step's env: {name}: {value}")


def _failed(subject: str, fact: str, remedy: str) -> ImageFactoryError:
    return ImageFactoryError(error(subject, fact, "the comment is not written", remedy).text())
