"""The resource manager's client sends its token to the resource manager only, whatever ids and links it gets.

Stand-in servers return what the test says: one is the resource manager, another records what must not reach it.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import AsyncRetryPolicy
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.azure.core import resource_manager
from imagefactory.azure.core.answers import Answer
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager, resource_url
from tests.azure.storage_world import Token
from tests.federation import serving

DISK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/os"


class _It(Answer):
    it: str


@dataclass
class Servers:
    """The client, and the requests that reached the resource manager and the other server."""

    arm: ResourceManager
    elsewhere: str
    home: list[str] = field(default_factory=list)
    strayed: list[str] = field(default_factory=list)


Answers = Mapping[str, Callable[[web.BaseRequest, str], web.Response]]


@asynccontextmanager
async def two_servers(answers: Answers | None = None) -> AsyncIterator[Servers]:
    """Start a resource manager that responds by path (else with an empty object), and another server."""

    async def away(request: web.BaseRequest) -> web.Response:
        servers.strayed.append(f"{request.method} {request.raw_path} {request.headers.get('Authorization')}")
        return web.json_response({"status": "Succeeded"})

    async def home(request: web.BaseRequest) -> web.Response:
        servers.home.append(f"{request.method} {request.raw_path}")
        answer = (answers or {}).get(request.path)
        return answer(request, elsewhere) if answer else web.json_response({})

    async with serving(away) as elsewhere, serving(home) as url, ResourceManager(Cloud(None, url, ""), Token()) as arm:
        servers = Servers(arm, elsewhere)
        yield servers


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations are polled, and requests sent again, without a wait."""
    monkeypatch.setattr(resource_manager, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(AsyncRetryPolicy, "get_backoff_time", lambda *_: 0.0)


STRAY_PATHS = [
    ".attacker.example/x",
    "@attacker.example/x",
    ":1@attacker.example/x",
    "//attacker.example/x",
    "/\\attacker.example/x",
    "attacker.example",
    "http://attacker.example/x",
    "",
    "/",
    f"{DISK}/deallocate?x=",
    f"{DISK}#",
    f"{DISK}//endGetAccess",
    f"{DISK}/../../x",
    f"{DISK}/%2e%2e/x",
    f"{DISK}/./x",
    f"{DISK}\r\nHost: attacker.example",
    f"{DISK}/",
]

CALLS: dict[str, Callable[[ResourceManager, str], Awaitable[object]]] = {
    "get": lambda arm, path: arm.get(path, "1", Answer, subject="it"),
    "post": lambda arm, path: arm.post(path, "1", Answer, subject="it"),
    "list": lambda arm, path: arm.list(path, "1", subject="it"),
    "run": lambda arm, path: arm.run("POST", path, "1", Answer, subject="it"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_an_invalid_path_is_not_sent(call: str) -> None:
    """It would name another host, another action, or nothing; the error is one line."""
    async with two_servers() as servers:
        for path in STRAY_PATHS:
            with pytest.raises(CloudError, match="is not a path of the resource manager") as caught:
                await CALLS[call](servers.arm, path)
            assert "\n" not in str(caught.value) and "\r" not in str(caught.value)
    assert servers.home == [] and servers.strayed == []


@given(st.text(alphabet="/.@:?#%\\a-[] \n", max_size=12) | st.text(max_size=12))
def test_no_path_leads_to_another_origin(path: str) -> None:
    """Each path is rejected, or the URL has the origin of the resource manager and no other path."""
    try:
        url = resource_url("https://management.example", path, {"api-version": "1"})
    except ValueError:
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == (
        "https",
        "management.example",
        "api-version=1",
        "",
    )
    assert ".." not in parts.path.split("/")


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_a_request_is_sent_again_as_often_as_it_says(status: int) -> None:
    """Four times after the first; azure-core by itself counts 3 of a kind."""

    def answer(request: web.BaseRequest, _: str) -> web.Response:
        failed = len(servers.home) <= resource_manager.RETRIES
        return web.Response(status=status) if failed else web.json_response({"it": "is there"})

    async with two_servers({DISK: answer}) as servers:
        assert await servers.arm.get(DISK, "1", _It, subject="it") == _It(it="is there")
    assert len(servers.home) == 1 + resource_manager.RETRIES


@pytest.fixture
def numbered_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token that is requested of a credential has another number, from 0."""
    numbers = itertools.count()

    async def get_token(*_: object, **__: object) -> AccessToken:
        return AccessToken(f"token {next(numbers)}", 2**40)

    monkeypatch.setattr(Token, "get_token", get_token)


@pytest.mark.parametrize("call", CALLS)
async def test_a_rejected_token_is_replaced_once(call: str, numbered_tokens: None) -> None:
    """A token may expire earlier than expected; if Azure rejects the new one too, its error is raised."""
    async with two_servers({DISK: accepting(1)}) as servers:
        await CALLS[call](servers.arm, DISK)
        assert len(servers.home) == 2
    async with two_servers({DISK: accepting(99)}) as servers:
        with pytest.raises(CloudError, match="401 ExpiredAuthenticationToken: the access token expired"):
            await CALLS[call](servers.arm, DISK)
        assert len(servers.home) == 2


async def test_a_token_that_expires_during_an_operation_is_replaced(numbered_tokens: None) -> None:
    """The operation is polled until it finishes."""
    async with two_servers({"/act": begun("Azure-AsyncOperation"), "/operation": accepting(1)}) as servers:
        await servers.arm.run("DELETE", "/act", "1", Answer, subject="it")
    assert [line.partition("?")[0] for line in servers.home] == ["DELETE /act", "GET /operation", "GET /operation"]


def accepting(number: int) -> Callable[[web.BaseRequest, str], web.Response]:
    """A response that rejects tokens with a lower number as expired."""

    def answer(request: web.BaseRequest, _: str) -> web.Response:
        if int(request.headers["Authorization"].rpartition(" ")[2]) >= number:
            return web.json_response({"status": "Succeeded", "value": []})
        error = {"code": "ExpiredAuthenticationToken", "message": "the access token expired"}
        return web.json_response({"error": error}, status=401)

    return answer


async def test_parameters_are_not_part_of_a_path() -> None:
    """They are passed and sent one by one."""
    async with two_servers() as servers:
        await servers.arm.get(DISK, "2024-07-01", Answer, parameters={"$expand": "instanceView"}, subject="it")
    assert servers.home == [f"GET {DISK}?$expand=instanceView&api-version=2024-07-01"]


async def test_names_with_letters_of_all_scripts_spaces_and_brackets_are_sent_unchanged() -> None:
    """Resource groups and custom images may have such names."""
    asked: list[str] = []

    def answer(request: web.BaseRequest, _: str) -> web.Response:
        asked.append(request.path)
        return web.json_response({})

    path = "/resourceGroups/Prüfung(1)/customimages/a b"
    async with two_servers({path: answer}) as servers:
        assert await servers.arm.get(path, "1", Answer, subject="it") == Answer()
    assert asked == [path]


@pytest.mark.parametrize(
    "link",
    [
        "{elsewhere}/x",
        "http://user:secret@{host}/x",
        "http://{host}@attacker.example/x",
        "http://{host}.attacker.example/x",
        "http://127.0.0.1:99999/x",
        "http://[/x",
        "https://{host}/x",
        "/relative",
        "file:///etc/passwd",
    ],
)
async def test_a_page_link_of_another_origin_is_not_followed(link: str) -> None:
    """With another host, port or scheme, with user info, or not a URL."""

    def answer(request: web.BaseRequest, elsewhere: str) -> web.Response:
        return web.json_response({"value": [], "nextLink": link.format(elsewhere=elsewhere, host=request.host)})

    async with two_servers({"/labs": answer}) as servers:
        with pytest.raises(CloudError, match="link to another host"):
            await servers.arm.list("/labs", "1", subject="it")
    assert len(servers.home) == 1 and servers.strayed == []


def begun(header: str) -> Callable[[web.BaseRequest, str], web.Response]:
    """A response that starts an operation at the resource manager."""
    return lambda request, _: web.Response(status=202, headers={header: f"http://{request.host}/operation"})


def moved(header: str) -> Callable[[web.BaseRequest, str], web.Response]:
    """A response to a poll with a link to another server."""
    return lambda _, elsewhere: web.json_response(
        {"status": "InProgress"}, status=202, headers={header: f"{elsewhere}/op"}
    )


LATER: dict[str, Answers] = {
    "a later Location": {"/act": begun("Location"), "/operation": moved("Location")},
    "the place of the result": {
        "/act": begun("Azure-AsyncOperation"),
        "/operation": lambda _, away: web.json_response({"status": "Succeeded", "resourceLocation": f"{away}/result"}),
    },
    "the Location of the result": {
        "/act": lambda request, away: web.Response(
            status=202,
            headers={"Azure-AsyncOperation": f"http://{request.host}/operation", "Location": f"{away}/result"},
        ),
        "/operation": lambda _, __: web.json_response({"status": "Succeeded"}),
    },
    "a first Location": {"/act": moved("Location")},
    "a first operation": {"/act": moved("Azure-AsyncOperation")},
}


@pytest.mark.parametrize("answers", LATER)
async def test_an_operation_is_followed_at_the_resource_manager_only(answers: str) -> None:
    """Also if a later response, or the result of the operation, links elsewhere."""
    async with two_servers(LATER[answers]) as servers:
        with pytest.raises(CloudError, match="link to another host"):
            await servers.arm.run("POST", "/act", "1", Answer, subject="it")
    assert servers.home and servers.strayed == []


async def test_a_later_operation_link_is_not_followed_elsewhere() -> None:
    """Azure-AsyncOperation may change while it is polled; no token is sent to another host."""
    polls = 0

    def poll(request: web.BaseRequest, elsewhere: str) -> web.Response:
        nonlocal polls
        polls += 1
        return web.json_response(
            {"status": "Succeeded" if polls > 2 else "InProgress"}, headers={"Azure-AsyncOperation": f"{elsewhere}/op"}
        )

    async with two_servers({"/act": begun("Azure-AsyncOperation"), "/operation": poll}) as servers:
        try:
            await servers.arm.run("DELETE", "/act", "1", Answer, subject="it")
        except CloudError as refusal:
            assert "link to another host" in str(refusal)
    assert servers.strayed == []


def dropped(request: web.BaseRequest, _: str) -> web.Response:
    """No response at all."""
    assert request.transport
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize(
    "poll",
    [
        lambda _, __: web.json_response({"error": {"code": "AuthorizationFailed", "message": "no"}}, status=403),
        lambda _, __: web.json_response({"status": "Failed", "error": {"code": "Conflict", "message": "no"}}),
        lambda _, __: web.Response(status=200, text="<html>"),
        lambda _, __: web.Response(status=500),
        dropped,
    ],
)
async def test_the_signed_query_of_an_operation_is_sent_but_never_told(
    poll: Callable[[web.BaseRequest, str], web.Response], caplog: pytest.LogCaptureFixture
) -> None:
    """Azure signs these URLs, with a certificate in the query (recorded): they are in no error and no log."""
    caplog.set_level("DEBUG")

    def start(request: web.BaseRequest, _: str) -> web.Response:
        url = f"http://{request.host}/operation?api-version=1&c=MII&s=SIGNATURE"
        return web.Response(status=202, headers={"Azure-AsyncOperation": url})

    async with two_servers({"/act": start, "/operation": poll}) as servers:
        with pytest.raises(CloudError) as caught:
            await servers.arm.run("DELETE", "/act", "1", Answer, subject="it")
    assert servers.home[1] == "GET /operation?api-version=1&c=MII&s=SIGNATURE"
    logged = [each.getMessage() for each in caplog.records if each.name != "aiohttp.access"]  # that is the server's log
    assert "SIGNATURE" not in f"{caught.value} {logged}"


async def test_an_operation_with_a_result_that_is_not_json_is_an_error() -> None:
    """Not a traceback."""
    answers: Answers = {
        "/act": begun("Location"),
        "/operation": lambda _, __: web.Response(status=200, text="<html>"),
    }
    async with two_servers(answers) as servers:
        with pytest.raises(CloudError, match="JSON"):
            await servers.arm.run("POST", "/act", "1", Answer, subject="it")


@pytest.mark.parametrize("links", [["/labs?api-version=1"], ["/labs?page=2", "/labs?page=3", "/labs?page=2"]])
async def test_a_next_link_to_a_page_that_was_read_is_an_error(links: list[str]) -> None:
    """Not an endless loop."""
    following = iter(links)

    def answer(request: web.BaseRequest, _: str) -> web.Response:
        return web.json_response({"value": [{"name": "a"}], "nextLink": f"http://{request.host}{next(following)}"})

    async with two_servers({"/labs": answer}) as servers:
        with pytest.raises(CloudError, match=r"^it: the response to GET /labs is not valid: its nextLink is that of a"):
            await servers.arm.list("/labs", "1", subject="it")
    assert len(servers.home) == len(links)


async def test_a_next_page_that_does_not_exist_is_an_error() -> None:
    """Not a shorter list, and not a missing lab."""
    answers: Answers = {
        "/labs": lambda request, _: web.json_response({"value": [], "nextLink": f"http://{request.host}/gone"}),
        "/gone": lambda _, __: web.json_response({"error": {"code": "NotFound"}}, status=404),
    }
    async with two_servers(answers) as servers:
        with pytest.raises(CloudError, match=r"GET /labs is not valid: its nextLink does not exist"):
            await servers.arm.list("/labs", "1", subject="it")


@pytest.mark.parametrize("call", CALLS)
async def test_a_page_of_a_proxy_is_an_error_that_says_so(call: str) -> None:
    """HTML with status 200; the remedy names the proxy."""
    page = "<html><title>Blocked</title></html>"
    answers: Answers = {"/a": lambda _, __: web.Response(text=page, content_type="text/html")}
    async with two_servers(answers) as servers:
        with pytest.raises(CloudError) as caught:
            await CALLS[call](servers.arm, "/a")
    method = "GET" if call in {"get", "list"} else "POST"
    assert str(caught.value) == (
        f"it: the response to {method} /a is not valid: it is HTML, not JSON. Run again; if the error persists, check "
        "whether a proxy changes the responses of Azure."
    )


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": "denied"}', b'{"error": {"code": 7}}', b"[" * 100_000])
@pytest.mark.parametrize("call", CALLS)
async def test_an_error_with_any_body_is_told_by_its_status(call: str, body: bytes) -> None:
    """Not a traceback."""
    answers: Answers = {"/a": lambda _, __: web.Response(body=body, status=403, content_type="application/json")}
    async with two_servers(answers) as servers:
        with pytest.raises(CloudError, match=r"^it: Azure returned 403"):
            await CALLS[call](servers.arm, "/a")


@pytest.mark.parametrize("status", [200, 503])
async def test_a_retry_after_that_is_nonsense_is_no_traceback(status: int) -> None:
    """Neither in an error nor in a successful response."""
    answers: Answers = {"/a": lambda _, __: web.json_response({}, status=status, headers={"Retry-After": "soon"})}
    async with two_servers(answers) as servers:
        with pytest.raises(CloudError, match="Retry-After is neither" if status == 200 else "Azure returned 503"):
            await servers.arm.get("/a", "1", Answer, subject="it")
