"""The help of every subcommand: a summary, the exit codes, and options as fragments."""

from __future__ import annotations

import inspect
import re

import pytest
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from imagefactory.cli.main import app
from tests.unit.cli.conftest import Verb

GROUP = typer.main.get_command(app)
assert isinstance(GROUP, TyperGroup)
SUBCOMMANDS = GROUP.commands
OF_TYPER = {"help", "install_completion", "show_completion"}
OPTIONS = [
    pytest.param(option, id=f"{command.name} {option.opts[0]}")
    for command in (GROUP, *SUBCOMMANDS.values())
    for option in command.params
    if option.name not in OF_TYPER
]
IMPERATIVES = ("Check", "Delete", "List", "Save", "Take over", "Validate", "Write")


@pytest.mark.parametrize("command", [GROUP, *SUBCOMMANDS.values()], ids=lambda command: command.name)
def test_help_starts_with_an_imperative_summary_of_up_to_80_characters(command: TyperCommand | TyperGroup) -> None:
    """One sentence: it is also shown in the list of subcommands."""
    summary, *_ = inspect.cleandoc(command.help or "").split("\n\n")
    assert len(summary) <= 80 and summary.startswith(IMPERATIVES)
    assert summary.endswith(".") and ". " not in summary


@pytest.mark.parametrize("command", SUBCOMMANDS.values(), ids=lambda command: command.name)
def test_help_ends_with_the_exit_codes(command: TyperCommand) -> None:
    """0 and 2 for all of them, 1 for a failure, and 3 if a lab lacks an image."""
    *_, codes = inspect.cleandoc(command.help or "").split("\n\n")
    expected = r"Exit codes: 0 \D+, 1 \D+, 2 wrong usage( or configuration)?(, 3 a lab \D+)?\."
    assert re.fullmatch(expected, " ".join(codes.split()))


@pytest.mark.parametrize("option", OPTIONS)
def test_the_help_of_an_option_is_a_fragment_without_a_full_stop(option: TyperOption | TyperArgument) -> None:
    """It starts with a capital letter and fits on one line of 100 characters."""
    assert option.help and option.help[0].isupper() and not option.help.endswith(".") and len(option.help) <= 100


def test_help_shows_defaults_and_the_environment_variable_of_the_stack(verb: Verb) -> None:
    """As Typer prints them."""
    shown = verb("save", "--help").out
    assert "[default: 20]" in shown and "PULUMI_STACK" in shown and "--stack" in shown
