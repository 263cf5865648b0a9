"""Keeps a file with the identity token of a job of GitHub Actions: `python -m imagefactory.token_file FILE [AUDIENCE]`.

Pulumi opens a state backend `azblob://` by Go's default chain. That cannot request tokens from GitHub, but reads such
a file (AZURE_FEDERATED_TOKEN_FILE, read again for a new access token). GitHub's tokens are valid for some minutes, so
the file is written anew until the process ends. Prints no token. Not a subcommand: only pipelines need it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from imagefactory.azure.core.credentials import AUDIENCE, requested_token
from imagefactory.errors import ImageFactoryError

SECONDS = 120
"""Between two tokens; those of GitHub are valid for 5 minutes (docs.github.com, "OpenID Connect reference")."""


def write(file: Path, audience: str) -> None:
    """Write a new token, which only this user may read; a reader sees the old one or the new one.

    Raises `ImageFactoryError`.
    """
    url, bearer = (os.environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}", "") for name in ("URL", "TOKEN"))
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(requested_token(url, bearer, audience))
    unfinished.replace(file)


def main(seconds: float = SECONDS) -> None:
    """Write the file again and again. The first failure ends the process, a later one is printed: the next may do."""
    file, audience = Path(sys.argv[1]), (sys.argv[2:] or [AUDIENCE])[0]
    written = False
    while True:
        try:
            write(file, audience)
            written = True
        except (ImageFactoryError, OSError) as problem:
            sys.stderr.write(f"{problem}\n")
            if not written:
                sys.exit(1)
        time.sleep(seconds)


if __name__ == "__main__":
    main()
