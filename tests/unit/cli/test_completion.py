"""What the shell completes, and which version answers."""

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
complete_words pr
complete_words prune --max
complete_words save --stack ''
complete_words catalog -s p
complete_words catalog -s x
"""
"""As bash does it at Tab: the function that `complete` knows is called with the words, the last one unfinished."""


def test_bash_completes_verbs_options_and_stacks(tmp_path: Path) -> None:
    """Stacks are those of the folder, by their files."""
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml"):
        (tmp_path / name).write_text("{}", "utf-8")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path}
    command = ["bash", "--norc", "-c", COMPLETE]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("prune\n--max-deletes\ndev prod\nprod\n\n", "")


def test_the_version_is_that_of_the_package(verb: Verb) -> None:
    """One place tells it: to pyproject.toml, to the command, to the plugin."""
    told = verb("--version")
    assert (told.code, told.out) == (0, f"imagefactory {__version__}\n")
