"""Forms: what is kept of an answer, and that no secret is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.differences import differences
from contract.forms import Forms
from contract.wire import Answer

MANAGER = "https://management.azure.com"
FORMS = Forms({MANAGER: "{resource manager}", "RG": "{group}", "Lab": "{lab}"}, "contract-0a1b2c3d")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRETS = st.text(f"{LETTERS}0123456789+/", min_size=40).map(lambda text: f"{text}7=")
"""As signatures and keys are written."""


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2024-09-09T10:13:00.5124741+00:00", "{time, 7 decimals, offset}"),
        ("2024-09-09T10:13:00Z", "{time, 0 decimals, Z}"),
        ("Fri, 27 Nov 2026 22:30:33 GMT", "{HTTP date}"),
        ('"0x8DCD0B1A2B3C4D5"', "{ETag}"),
        ("AAAAAAAAAAA=", "{8 bytes, base64}"),
        ("20240909-11111111-2222-3333-4444-555555555555", "{date}-{guid}"),
        ("/resourcegroups/RG/labs/lab", "/resourcegroups/{group}/labs/{lab, other case}"),
        ("/labs/Lab-2/contract-0a1b2c3d-a", "/labs/Lab-2/{run}-a"),
        (f"{MANAGER}/x/Lab?api-version=1&t=1&c=MII&s=x", "{resource manager}/x/{lab}?api-version=1&t&c&s"),
        ("https://md-1.blob.core.windows.net/a/abcd?sv=1&sig=x", "{URL}?sv&sig"),
        ("someone@example.com", "{text}"),
        ("LeaseIdMismatchWithBlobOperation", "LeaseIdMismatchWithBlobOperation"),
    ],
)
def test_a_text_has_a_form(text: str, form: str) -> None:
    """It keeps the casing of ids and the names of parameters, and no value that changes."""
    assert FORMS.text(text) == form


@given(secret=SECRETS, key=st.sampled_from(["accessSAS", "keyName", "value", "other", "sharedKey", "code"]))
def test_no_secret_passes(secret: str, key: str) -> None:
    """As a value of JSON, in a URL, in a header or in an XML body."""
    body = json.dumps({key: secret, "url": f"https://a.example/b?sig={secret}", "list": [secret]}).encode()
    headers = {"location": f"https://a.example/b?sig={secret}", "x-ms-copy-source": secret, "authorization": secret}
    xml = f"<A><Value>{secret}</Value><B>{secret}</B></A>".encode()
    shown = json.dumps([FORMS.of(Answer("GET /", 200, headers, each)) for each in (body, xml)])
    assert secret not in shown and secret[:24] not in shown


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner) | st.lists(inner),
)


@given(one=values, other=values)
def test_differences_are_exactly_what_differs(one: object, other: object) -> None:
    """Equal answers have none, and unequal ones at least one, whose values differ."""

    def report(value: object) -> dict[str, object]:
        return {"experiments": {"e": {"observations": {"o": {"source": "assumed", "body": value}}}}}

    found = differences(report(one), report(other))
    assert bool(found) == (one != other)
    assert all(each["expected"] != each["observed"] and each["where"].startswith("body") for each in found)
