"""The messages of a program are read from its source."""

from __future__ import annotations

from textwrap import dedent

import pytest

from toolchain.messages.reading import Message, messages, split
from toolchain.messages.source import Source


def read(*texts: str) -> list[tuple[str, ...]]:
    """The messages of modules named a, b, ... without the module."""
    return [tuple(message[1:]) for message in found(*texts)]


def found(*texts: str) -> list[Message]:
    """The messages of modules named a, b, ..."""
    return messages(Source({name: dedent(text) for name, text in zip("abc", texts, strict=False)}))


def test_what_only_a_run_can_know_is_an_ellipsis() -> None:
    """Values in f-strings and unknown operands of a concatenation are `...`, neighbours are one."""
    text = """
    def f(lab):
        return error(f"lab {lab.name}", "has " + str(lab.n) + f"{lab.unit} images", "", f"Delete {lab.n!r}")
    """
    assert read(text) == [("lab ...", "has ... images", "", "Delete ...")]


def test_constants_of_a_module_and_imported_ones_are_read() -> None:
    """A consequence that several messages share is in each of them."""
    constants = """
    _KEPT = "its images stay"
    ROLE = f"Reader ({3})"
    """
    text = """
    from a import _KEPT, ROLE
    HELP = "Grant " + ROLE
    def f(lab):
        yield warning("lab", "is closed", _KEPT, HELP)
    """
    assert read(constants, text) == [("lab", "is closed", "its images stay", "Grant Reader (3)")]


def test_variables_have_the_texts_of_their_branch() -> None:
    """A fact never has the remedy of another one."""
    text = """
    def f(account):
        if account.old:
            fact, remedy = "is old", "Upgrade it"
        else:
            fact, remedy = "is new", "Wait"
        yield error("account", fact, "nothing is copied", remedy)
    """
    assert read(text) == [
        ("account", "is new", "nothing is copied", "Wait"),
        ("account", "is old", "nothing is copied", "Upgrade it"),
    ]


def test_a_function_that_makes_messages_is_read_at_each_call() -> None:
    """Also if it is a method or a function of another module."""
    maker = """
    def unfit(vm, fact, remedy="Run again"):
        return error(f"VM {vm.name}", fact, "it is not saved", remedy)
    """
    callers = """
    from a import unfit
    def f(vm):
        raise Unfit(unfit(vm, "is running", "Stop it"))
    def g(vm):
        raise Unfit(unfit(vm, fact="is busy"))
    """
    assert read(maker, callers) == [
        ("VM ...", "is busy", "it is not saved", "Run again"),
        ("VM ...", "is running", "it is not saved", "Stop it"),
    ]


def test_texts_that_functions_return_are_read() -> None:
    """Many functions return facts as text, and each return statement is a message."""
    text = """
    def _problem(blob) -> str | None:
        if blob.small:
            return f"has {blob.size} bytes"
        return "is damaged" if blob.torn else None
    def f(blob):
        if fact := _problem(blob):
            yield error("VHD", fact, "it is not copied", "Save it again")
    """
    facts = [fact for _, fact, _, _ in read(text)]
    assert facts == ["has ... bytes", "is damaged"]


def test_checks_that_found_a_problem_are_messages() -> None:
    """A check that is `ok` is none."""
    text = """
    def f(subject):
        yield Check(subject, "clock", "ok", "right")
        yield Check(subject, "clock", "failure", "wrong", "Set it")
    """
    assert read(text) == [("clock", "wrong", "", "Set it")]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("vhd: was rewritten; it is not copied. Run again", ("vhd", "was rewritten", "it is not copied", "Run again")),
        ("vhd: is gone. Run again", ("vhd", "is gone", "", "Run again")),
        ("stack: has x; y; nothing is read. Fix it", ("stack", "has x; y", "nothing is read", "Fix it")),
        ("pass a file", ("", "pass a file", "", "")),
    ],
)
def test_a_message_in_one_text_is_split_into_its_parts(text: str, parts: tuple[str, ...]) -> None:
    """Exceptions take the whole message."""
    assert split(text) == parts


def test_a_text_of_others_alone_is_no_message() -> None:
    """Nobody can look for it."""
    assert found("def f(problem):\n    raise StateError(str(problem))\n") == []
