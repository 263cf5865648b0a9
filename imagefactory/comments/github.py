"""A pull request of GitHub. Every pull request is an issue, and its conversation is the comments of that issue.

docs.github.com/rest/issues/comments. Does not find the pull request: `imagefactory.comments.job` does.
"""

from __future__ import annotations

from dataclasses import dataclass

from imagefactory.comments.web import Api

AUTHOR = "github-actions[bot]"
"""Who writes with the token of a job (docs.github.com, "Use GITHUB_TOKEN for authentication in workflows"). The same
token can change the comments of others, and anyone can write a comment with the marker."""
PERMISSION = (
    "Give the job `permissions: pull-requests: write`; if it has it, check the settings of the organization "
    "(see docs/pipelines.md#set-up-github-actions)"
)
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_PAGE = 100
"""Comments on a page, the most that GitHub returns."""


@dataclass(frozen=True)
class GitHubPullRequest:
    """A pull request: `repository` is owner/name."""

    api: Api
    repository: str
    number: int

    def write(self, marker: str, body: str) -> str:
        """See `PullRequest`."""
        found = self._own(marker)
        comments = f"/repos/{self.repository}/issues/{self.number}/comments"
        if found is None:
            self.api.request("POST", comments, {"body": body})
            return f"pull request {self.number}: comment created"
        self.api.request("PATCH", f"/repos/{self.repository}/issues/comments/{found}", {"body": body})
        return f"pull request {self.number}: comment updated"

    def _own(self, marker: str) -> int | None:
        page, more = 1, True
        while more:
            query = {"per_page": str(_PAGE), "page": str(page)}
            path = f"/repos/{self.repository}/issues/{self.number}/comments"
            comments, more = self.api.request("GET", path, query=query)
            try:
                for one in comments:
                    if (one["user"] or {}).get("login") == AUTHOR and str(one["body"] or "").startswith(marker):
                        return int(one["id"])
            except (KeyError, TypeError, ValueError, AttributeError):
                raise self.api.failed(f"GET {path}: the response is not as documented", "Run the job again") from None
            page += 1
        return None
