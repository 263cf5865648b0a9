"""Shell completion, and the version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from imagefactory import __version__
from tests.unit.cli.conftest import Verb

COMPLETE = """
eval "$(imagefactory --show-completion)"
complete_words() {
    COMP_WORDS=(imagefactory "$@") COMP_CWORD=$#
    $(complete -p imagefactory | sed 's/.* -F \\([^ ]*\\) .*/\\1/') imagefactory
    echo "${COMPREPLY[*]}"
}
complete_words pru
complete_words prune --max
complete_words save --stack ''
complete_words catalog -s p
complete_words catalog -s x
"""
"""As bash does it at Tab: the function that `complete` knows is called with the words, the last one unfinished."""


def test_bash_completes_subcommands_options_and_stacks(tmp_path: Path) -> None:
    """The stacks are those with a file in the folder."""
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml"):
        (tmp_path / name).write_text("{}", "utf-8")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path}
    command = ["bash", "--norc", "-c", COMPLETE]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("prune\n--max-deletes\ndev prod\nprod\n\n", "")


def test_the_version_is_that_of_the_package(verb: Verb) -> None:
    """pyproject.toml, the command and the plugin read it from one place."""
    printed = verb("--version")
    assert (printed.code, printed.out) == (0, f"imagefactory {__version__}\n")
