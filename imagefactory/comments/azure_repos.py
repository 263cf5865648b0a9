"""A pull request of Azure Repos. Its comments are in threads; a thread of its own has the comment of a stack.

learn.microsoft.com/rest/api/azure/devops/git/pull-request-threads, version 7.1. Threads are not paged. Does not find
the pull request: `imagefactory.comments.job` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from imagefactory.comments.web import Api

VERSION = {"api-version": "7.1"}
PREVIEW = {"api-version": "7.1-preview"}
"""The API of the connection has no other."""
PERMISSION = (
    "Grant the build service of the project the permission Contribute to pull requests on the repository "
    "(see docs/pipelines.md#set-up-azure-pipelines)"
)


@dataclass(frozen=True)
class AzureReposPullRequest:
    """A pull request of a repository (its id) of a project."""

    api: Api
    project: str
    repository: str
    number: int

    def write(self, marker: str, body: str) -> str:
        """See `PullRequest`. A new thread is closed: a policy may require that all comments are resolved."""
        found = self._own(marker)
        if found is None:
            comment = {"parentCommentId": 0, "content": body, "commentType": "text"}
            self.api.request("POST", self._threads, {"comments": [comment], "status": "closed"}, VERSION)
            return f"pull request {self.number}: comment created"
        thread, one = found
        self.api.request("PATCH", f"{self._threads}/{thread}/comments/{one}", {"content": body}, VERSION)
        return f"pull request {self.number}: comment updated"

    @property
    def _threads(self) -> str:
        place = f"/{quote(self.project, safe='')}/_apis/git/repositories/{quote(self.repository, safe='')}"
        return f"{place}/pullRequests/{self.number}/threads"

    def _own(self, marker: str) -> tuple[int, int] | None:
        me, _ = self.api.request("GET", "/_apis/connectionData", query=PREVIEW)
        document, _ = self.api.request("GET", self._threads, query=VERSION)
        try:
            author = str(me["authenticatedUser"]["id"])
            for thread in document["value"]:
                if not thread.get("isDeleted"):
                    for one in thread["comments"]:
                        if _is_own(one, author, marker):
                            return int(thread["id"]), int(one["id"])
        except (KeyError, TypeError, ValueError, AttributeError):
            fact = f"GET {self._threads}: the response is not as documented"
            raise self.api.failed(fact, "Run the job again") from None
        return None


def _is_own(comment: Mapping[str, object], author: str, marker: str) -> bool:
    by = comment.get("author")
    is_author = isinstance(by, dict) and str(by.get("id", "")).lower() == author.lower()
    return is_author and not comment.get("isDeleted") and str(comment.get("content") or "").startswith(marker)
