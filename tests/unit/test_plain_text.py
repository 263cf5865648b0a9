"""Text from outside in a log: no agent commands, no cursor movement, no secrets."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagefactory.plain_text import json_text, printable, printable_lines, redacted
from tests.agent_commands import SET_VARIABLE, agent_commands

WEIGHTLESS = "\u00ad\u034f\u180b\u200b\u200d\u2060\ufe0f\ufeff\U000e0100"
"""Characters that .NET passes over when it looks for a text by culture."""
texts = st.one_of(
    st.text(st.characters(codec=None)),
    st.lists(
        st.sampled_from(
            ["##", "#", "vso[", "VSO[", "[", "]", "::", ":", "mask", " ", "\t", "\r", "\n", "\x1b[2J", *WEIGHTLESS]
        ),
        max_size=20,
    ).map("".join),
)


@given(texts)
@example(SET_VARIABLE)
@example(f"a\r{SET_VARIABLE}")
@example("###\ufe0f#[group]")
@example("\n  \ufe0f:\u034f:add-mask::x")
def test_no_text_contains_a_command_or_moves_the_cursor(text: str) -> None:
    """For any content, on one line and on several; a second pass changes nothing."""
    for shown in (printable(text), printable_lines(text), json_text({text: [text]})):
        assert not agent_commands(shown)
        assert all(char.isprintable() or char == "\n" for char in shown)
    assert "\n" not in printable(text)
    assert printable(printable(text)) == printable(text)
    assert all(printable_lines(line) == line for line in printable_lines(text).splitlines())


@given(texts)
@example(SET_VARIABLE)
@example("\ud800")
def test_a_document_means_the_same(text: str) -> None:
    """Programs read the original values."""
    assert json.loads(json_text({text: [text, 1, None]})) == {text: [text, 1, None]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SET_VARIABLE, "# #vso[task.setvariable variable=BASH_ENV]evil"),
        ("C## and [x]", "C# # and [x]"),
        (" ::add-mask::x", ": :add-mask::x"),
        ("labs.json: ::x", "labs.json: ::x"),
        ("a\tb\nc", "a b c"),
        ("\x1b]0;x\x07 \x9b2J \u202e \u2066", r"\x1b]0;x\x07 \x9b2J \u202e \u2066"),
        ("Grüße ❤\ufe0f [bold]", "Grüße ❤\ufe0f [bold]"),
    ],
)
def test_a_harmless_text_is_unchanged_and_others_are_readable(text: str, shown: str) -> None:
    """A space breaks a command, and characters that are not printable are escaped."""
    assert printable(text) == shown


def test_lines_keep_their_spaces() -> None:
    """As in the diff of a preview."""
    assert printable_lines("+ a\n    ~ b: 1\r\n    ::warning::x") == "+ a\n    ~ b: 1\n    : :warning::x"


secrets = st.text("ABCXYZabcxyz0189%+/=_-", min_size=12, max_size=40).filter(lambda text: "sig" not in text.lower())
hosts = st.sampled_from(
    ["https://a.blob.example/c/b", "HTTPS://A.blob.example/c/b", "a.blob.example/c/b", "/c/b", "", "(https://a/c"]
)
others = st.lists(st.sampled_from(["comp=list", "sv=2026-01-01", "se=2026", "api-version=1", "restype=container"]))


@given(hosts, others, st.sampled_from(["sig", "Sig", "SIG"]), secrets, others, st.sampled_from(["", " b", "'", ">"]))
def test_no_signature_outlives_the_redaction(
    host: str, before: list[str], key: str, secret: str, after: list[str], end: str
) -> None:
    """In URLs of any case, in URLs without scheme or host, and in parts of URLs."""
    query = "&".join([*before, f"{key}={secret}", *after])
    for text in (f"a {host}?{query}{end}", f"a {query}{end}", f"a {host}?url=x%3F{key}%3D{secret}{end}"):
        assert secret not in redacted(text)
        assert redacted(text).endswith(end) and redacted(text).startswith("a ")
        assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://a/c?restype=container&comp=list&sv=1&sig=x/y%3D.", "at https://a/c?restype=container&comp=list"),
        ("HTTP://a/c?code=secret", "HTTP://a/c"),
        ("https://a/c?secret", "https://a/c"),
        ("sv=1&sig=x", "sv=1&sig=..."),
        ("Why? Because a=b", "Why? Because a=b"),
        ("design=new, a?b.vhd", "design=new, a?b.vhd"),
    ],
)
def test_what_is_not_secret_is_kept(text: str, shown: str) -> None:
    """Keys that are known to be harmless, and text that is not a query."""
    assert redacted(text) == shown
