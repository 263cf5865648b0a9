"""`imagefactory comment`: one comment for each stack of a pull request, on GitHub and in Azure Repos."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from imagefactory.comments.body import marker
from tests.pull_requests import ME, OTHER, TOKEN, AzureRepos, GitHub, running, told
from tests.unit.cli.conftest import Printed, Verb

MARK = marker("dev")
FORGES = [GitHub, AzureRepos]


class Run:
    """Runs the command in a job of the pull request."""

    def __init__(self, verb: Verb, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._verb, self._monkeypatch, self._folder = verb, monkeypatch, folder

    async def __call__(self, forge: GitHub | AzureRepos, plan: str, *words: str, **variables: str) -> Printed:
        """Write the plan as comment; `variables` replace those of the job."""
        for name, value in {**forge.job(self._folder), **variables}.items():
            self._monkeypatch.setenv(name, value)
        file = self._folder / "plan.md"
        file.write_text(plan, "utf-8")
        done: Printed = await asyncio.to_thread(self._verb, "comment", "--file", str(file), *words)
        assert TOKEN not in done.out + done.err and "Traceback" not in done.err
        return done


@pytest.fixture
def comment(verb: Verb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    return Run(verb, monkeypatch, tmp_path)


@pytest.mark.parametrize("forge", FORGES)
async def test_the_second_plan_replaces_the_first_and_a_stack_has_one_comment(comment: Run, forge: Any) -> None:
    """Each stack has its own, with the commit and a link to the run."""
    async with running(forge := forge()):
        first = await comment(forge, "### Plan one")
        assert (first.code, first.out) == (0, "Stack dev: pull request 7: comment created.\n")
        await comment(forge, "### Plan of prod", "--stack", "prod")
        second = await comment(forge, "### Plan two")
        assert (second.code, second.out) == (0, "Stack dev: pull request 7: comment updated.\n")
    dev, prod = forge.bodies
    assert dev.startswith(f"{MARK}\n### Plan two\n") and prod.startswith(f"{marker('prod')}\n### Plan of prod\n")
    assert "commit `c0ffee`" in dev and "42)" in dev
    if isinstance(forge, AzureRepos):
        assert {thread["status"] for thread in forge.threads} == {"closed"}, "so it blocks no completion"


async def test_no_comment_of_another_author_is_changed(comment: Run) -> None:
    """Though it begins with the marker, and the token may change it."""
    for forge, other, me in ((GitHub(), "mallory", "github-actions[bot]"), (AzureRepos(), OTHER, ME)):
        forge.add(f"{MARK}\nmine", other)
        forge.add(f"see {MARK}", me)
        forge.add(f"{marker('dev2')}\n", me)
        before = forge.bodies
        async with running(forge):
            assert (await comment(forge, "plan")).code == 0
        assert forge.bodies[:-1] == before and forge.bodies[-1].startswith(f"{MARK}\nplan")


async def test_a_deleted_comment_is_written_anew(comment: Run) -> None:
    """Azure Repos lists deleted comments and threads."""
    forge = AzureRepos()
    forge.add(MARK, ME, isDeleted=True)
    forge.add(MARK, ME)
    forge.threads[1]["isDeleted"] = True
    async with running(forge):
        await comment(forge, "plan")
    assert len(forge.threads) == 3


async def test_the_comment_is_found_on_a_later_page(comment: Run) -> None:
    """GitHub returns up to 100 comments at a time."""
    forge = GitHub(page=10)
    for _ in range(25):
        forge.add("talk", "alice")
    forge.add(f"{MARK}\nold", "github-actions[bot]")
    async with running(forge):
        await comment(forge, "new")
    assert len(forge.comments) == 26 and forge.bodies[-1].startswith(f"{MARK}\nnew")
    assert [one.partition(" ")[0] for one in forge.requests] == ["GET"] * 3 + ["PATCH"]


@pytest.mark.parametrize("forge", FORGES)
async def test_a_busy_service_is_asked_again(comment: Run, forge: Any) -> None:
    """Where that cannot write a second comment."""
    async with running(forge := forge(faults=[told(503, {}), told(429, {}, **{"Retry-After": "0"})])):
        assert (await comment(forge, "plan")).code == 0
    assert len(forge.bodies) == 1


async def test_a_comment_that_may_be_written_is_not_written_again(comment: Run) -> None:
    """A service that fails after it wrote; the next run finds the comment."""
    forge = GitHub()
    forge.faults = [told(200, []), told(502, {"message": "Bad Gateway"})]
    async with running(forge):
        done = await comment(forge, "plan")
    assert done.code == 1 and "502 Bad Gateway; the comment is not written. Run the job again" in done.err
    assert [one.partition(" ")[0] for one in forge.requests] == ["GET", "POST"]


@pytest.mark.parametrize(
    ("forge", "remedy"),
    [(GitHub, "`permissions: pull-requests: write`"), (AzureRepos, "the permission Contribute to pull requests")],
)
async def test_a_token_without_permission_is_an_error_that_names_the_permission(
    comment: Run, forge: Any, remedy: str
) -> None:
    """On one line, with what the service says."""
    async with running(forge := forge(may_write=False)):
        done = await comment(forge, "plan")
    assert done.code == 1 and remedy in done.err and done.err.count("\n") == 1
    assert ("integration" in done.err) or ("TF401027" in done.err)


@pytest.mark.parametrize("forge", FORGES)
async def test_an_invalid_token_is_an_error(comment: Run, forge: Any) -> None:
    """Also where the service shows its sign-in page instead; a token that no header can have is not quoted."""
    async with running(forge := forge()):
        for token in ("wrong", "two\nlines"):
            done = await comment(forge, "plan", GITHUB_TOKEN=token, SYSTEM_ACCESSTOKEN=token)
            assert done.code == 1 and "token" in done.err and "two" not in done.err and done.err.count("\n") == 1
        done = await comment(forge, "plan", GITHUB_TOKEN="", SYSTEM_ACCESSTOKEN="")
        assert done.code == 1 and "is not set" in done.err and "Add it to the step's env" in done.err
    assert forge.bodies == []


@pytest.mark.parametrize("forge", FORGES)
async def test_the_token_goes_nowhere_else(comment: Run, forge: Any) -> None:
    """No redirect is followed, and it is not sent without TLS to another machine."""
    async with running(forge := forge()):
        forge.faults = [web.Response(status=307, headers={"Location": "https://evil.example"})]
        done = await comment(forge, "plan")
        assert done.code == 1 and " 307; " in done.err
        plain = "http://api.example"
        done = await comment(forge, "plan", GITHUB_API_URL=plain, SYSTEM_COLLECTIONURI=plain)
        assert done.code == 1 and "the API's URL is not https" in done.err


@pytest.mark.parametrize("response", [{"message": "odd"}, [{"id": 1}], "text", None])
@pytest.mark.parametrize("forge", FORGES)
async def test_an_undocumented_response_is_an_error(comment: Run, forge: Any, response: object) -> None:
    """Not a traceback, and nothing is written."""
    async with running(forge := forge(faults=[told(200, response)])):
        done = await comment(forge, "plan")
    assert done.code == 1 and done.err.count("\n") == 1 and forge.bodies == []


async def test_for_a_fork_nothing_is_written_and_that_is_no_failure(comment: Run, tmp_path: Path) -> None:
    """Its job has no token that may write; also if the fork was deleted meanwhile."""
    github, repos = GitHub(), AzureRepos()
    for source in ("mallory/images", None):
        job = github.job(tmp_path, source)
        done = await comment(github, "plan", **{"GITHUB_EVENT_PATH": _kept(tmp_path, job)})
        assert done.code == 0 and "from a fork" in done.out
    done = await comment(repos, "plan", SYSTEM_PULLREQUEST_ISFORK="True")
    assert done.code == 0 and "from a fork" in done.out
    assert github.requests == repos.requests == []


def _kept(folder: Path, job: dict[str, str]) -> str:
    """The event of a job, in a file of its own."""
    file = folder / "fork.json"
    file.write_bytes(Path(job["GITHUB_EVENT_PATH"]).read_bytes())
    return str(file)


async def test_without_a_pull_request_nothing_is_requested(comment: Run, tmp_path: Path) -> None:
    """The error says where the command runs."""
    (tmp_path / "push.json").write_text(json.dumps({"ref": "refs/heads/main"}), "utf-8")
    push = {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_PATH": str(tmp_path / "push.json")}
    for forge, variables, remedy in (
        (GitHub(), push, "Run it on the event pull_request"),
        (AzureRepos(), {"SYSTEM_PULLREQUEST_PULLREQUESTID": ""}, "branch policy Build validation"),
        (AzureRepos(), {"BUILD_REPOSITORY_PROVIDER": "GitHub"}, "use the workflows of GitHub"),
        (GitHub(), {"GITHUB_ACTIONS": ""}, "Run the command in a job of a pull request"),
    ):
        done = await comment(forge, "plan", **variables)
        assert done.code == 1 and remedy in done.err and forge.requests == []


async def test_errors_are_shown_as_code_and_what_is_too_long_is_cut(comment: Run, tmp_path: Path) -> None:
    """GitHub rejects a comment of more than 65,536 characters; text of others mentions nobody."""
    errors = tmp_path / "errors"
    errors.write_text(
        "@everyone <!-- ` a|b\n\n" + "x" * 5000 + "\n" + "y" * 70_000 + "\n" * 3 + "z\n" * 50_000, "utf-8"
    )
    async with running(forge := GitHub()):
        assert (await comment(forge, "| row |\n" * 20_000, "--errors", str(errors))).code == 0
        assert (await comment(forge, "", "--errors", str(errors))).code == 0
        (body,) = forge.bodies
        assert "### No plan of stack `dev`" in body and "* <code>&#64;everyone" in body
        errors.write_text("", "utf-8")
        assert (await comment(forge, "", "--errors", str(errors))).code == 0
    assert "no error says why" in forge.bodies[0]


def test_a_file_that_cannot_be_read_is_an_error(verb: Verb) -> None:
    """Before a request."""
    done = verb("comment", "--file", "missing.md")
    assert done.code == 1 and "missing.md: cannot be read" in done.err


def test_no_stack_name_ends_the_marker() -> None:
    """And two stacks have two markers."""
    assert marker("a--> x").count("-->") == 1 and marker("a").endswith(" -->")
    assert not marker("dev2").startswith(marker("dev"))
    stacks = ["a-b", "a--b", "a---b", "a_b", "a__b", "a b", "a.b", "a/b", "a%2Db", "é"]
    assert len({marker(stack) for stack in stacks}) == len(stacks)
    assert not [stack for stack in stacks if "--" in marker(stack)[4:-3]]
