"""Stand-ins of the two APIs that hold the comments of a pull request, as far as their documentation says.

GitHub: docs.github.com/rest/issues/comments. Azure Repos: learn.microsoft.com/rest/api/azure/devops/git. Each rejects
what the service would: another path, method, version, token or permission.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.federation import serving

TOKEN = "job-token-s3cret"
JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass
class Forge(ABC):
    """What both have: requests, whether the token may write, and faults, each the response to one request."""

    may_write: bool = True
    requests: list[str] = field(default_factory=list)
    """Method and path with query of each."""
    faults: list[web.Response] = field(default_factory=list)

    async def respond(self, request: web.BaseRequest) -> web.Response:
        """Respond to a request."""
        self.requests.append(f"{request.method} {request.path_qs}")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.denied()
        if self.faults:
            return self.faults.pop(0)
        if request.method != "GET" and not self.may_write:
            return self.forbidden()
        body = await request.json() if request.can_read_body else None
        return self.answer(request, body)

    def denied(self) -> web.Response:
        return told(401, {"message": "Bad credentials"})

    @abstractmethod
    def forbidden(self) -> web.Response:
        """Return the response to a token that may not write."""

    @abstractmethod
    def answer(self, request: web.BaseRequest, body: Any) -> web.Response:
        """Return the response to a permitted request."""


def told(status: int, document: object, **headers: str) -> web.Response:
    """Return a response with a JSON document."""
    return web.Response(status=status, text=json.dumps(document), headers={**JSON, **headers})


@dataclass
class GitHub(Forge):
    """Pull request 7 of acme/images, with its comments; a page has up to `page` of them."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    page: int = 100
    url: str = ""

    def add(self, body: str, author: str) -> None:
        """Add a comment."""
        self.comments.append({"id": 1000 + len(self.comments), "body": body, "user": {"login": author}})

    @property
    def bodies(self) -> list[str]:
        return [one["body"] for one in self.comments]

    def forbidden(self) -> web.Response:
        return told(403, {"message": "Resource not accessible by integration"})

    def answer(self, request: web.BaseRequest, body: Any) -> web.Response:
        assert request.headers["X-GitHub-Api-Version"] == "2022-11-28"
        assert request.headers["Accept"] == "application/vnd.github+json"
        comments, single = "/repos/acme/images/issues/7/comments", "/repos/acme/images/issues/comments/"
        if request.method == "GET" and request.path == comments:
            number, size = int(request.query["page"]), min(self.page, int(request.query["per_page"]))
            shown = self.comments[(number - 1) * size : number * size]
            following = f'<{self.url}{comments}?per_page={size}&page={number + 1}>; rel="next"'
            return told(200, shown, **({"Link": following} if number * size < len(self.comments) else {}))
        if body and len(body["body"]) > 65_536:
            return told(422, {"message": "Validation Failed: body is too long (maximum is 65536 characters)"})
        if request.method == "POST" and request.path == comments:
            self.add(body["body"], "github-actions[bot]")
            return told(201, self.comments[-1])
        if request.method == "PATCH" and request.path.startswith(single):
            (one,) = (each for each in self.comments if each["id"] == int(request.path.removeprefix(single)))
            one["body"] = body["body"]
            return told(200, one)
        return told(404, {"message": "Not Found"})

    def job(self, folder: Path, source: str | None = "acme/images") -> dict[str, str]:
        """Return the variables of a job of the pull request; `source` is the repository that it comes from."""
        head = {"sha": "c0ffee", "repo": {"full_name": source} if source else None}
        event = folder / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 7, "head": head}}), "utf-8")
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "acme/images",
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_RUN_ID": "42",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_TOKEN": TOKEN,
            "TF_BUILD": "",
        }


ME, OTHER = "11111111-aaaa-4111-8111-111111111111", "22222222-bbbb-4222-8222-222222222222"


@dataclass
class AzureRepos(Forge):
    """Pull request 7 of a repository of the project `Lab images`, with its threads."""

    threads: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def add(self, body: str, author: str, **more: Any) -> None:
        """Add a thread with one comment; `author` is an id."""
        one = {"id": 1, "content": body, "author": {"id": author}, "commentType": "text", **more}
        self.threads.append({"id": 500 + len(self.threads), "comments": [one], "status": "active"})

    @property
    def bodies(self) -> list[str]:
        return [one["content"] for thread in self.threads for one in thread["comments"]]

    def denied(self) -> web.Response:
        return web.Response(status=203, text="<html>Sign in</html>", content_type="text/html")

    def forbidden(self) -> web.Response:
        return told(
            403, {"message": "TF401027: You need the Git 'PullRequestContribute' permission to perform this action."}
        )

    def answer(self, request: web.BaseRequest, body: Any) -> web.Response:
        threads = "/acme/Lab images/_apis/git/repositories/r-1/pullRequests/7/threads"
        version = request.query["api-version"]
        if request.method == "GET" and request.path == "/acme/_apis/connectionData":
            assert version == "7.1-preview"
            return told(200, {"authenticatedUser": {"id": ME.upper()}})
        assert version == "7.1"
        if request.method == "GET" and request.path == threads:
            return told(200, {"value": self.threads, "count": len(self.threads)})
        if request.method == "POST" and request.path == threads:
            (one,) = body["comments"]
            assert one["parentCommentId"] == 0 and one["commentType"] == "text"
            self.add(one["content"], ME)
            self.threads[-1]["status"] = body["status"]
            return told(200, self.threads[-1])
        if request.method == "PATCH" and request.path.startswith(f"{threads}/"):
            thread, _, comment = request.path.removeprefix(f"{threads}/").partition("/comments/")
            (found,) = (each for each in self.threads if each["id"] == int(thread))
            (one,) = (each for each in found["comments"] if each["id"] == int(comment))
            one["content"] = body["content"]
            return told(200, one)
        return told(404, {"message": "TF401180: The requested pull request was not found."})

    def job(self, folder: Path) -> dict[str, str]:
        """Return the variables of a job of the pull request."""
        return {
            "TF_BUILD": "True",
            "SYSTEM_COLLECTIONURI": f"{self.url}/acme/",
            "SYSTEM_TEAMPROJECT": "Lab images",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
            "SYSTEM_PULLREQUEST_SOURCECOMMITID": "c0ffee",
            "BUILD_REPOSITORY_PROVIDER": "TfsGit",
            "BUILD_REPOSITORY_ID": "r-1",
            "BUILD_BUILDID": "42",
            "SYSTEM_ACCESSTOKEN": TOKEN,
            "GITHUB_ACTIONS": "",
        }


@asynccontextmanager
async def running(forge: GitHub | AzureRepos) -> AsyncIterator[None]:
    """Start the API of the forge."""
    async with serving(forge.respond) as forge.url:
        yield
