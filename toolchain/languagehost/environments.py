"""Python environments of programs and plugins: their interpreter and their installed packages.

Parses the runtime options `virtualenv` and `toolchain`. Does not support toolchains other than pip.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


class PythonEnvironmentError(Exception):
    """An environment that cannot be used; the message has the remedy."""


@dataclass(frozen=True)
class Environment:
    """The Python environment of one program or plugin; `folder` is None for the machine's own Python."""

    folder: Path | None

    @classmethod
    def of(cls, root: str, program: str, options: Mapping[str, object]) -> Environment:
        """Parse runtime options as the official host does: a relative `virtualenv` is a folder beside the program, else
        beside the project file. Raises PythonEnvironmentError for a toolchain other than pip."""
        toolchain = options.get("toolchain") or "pip"
        if str(toolchain).lower() != "pip":
            raise PythonEnvironmentError(
                f"runtime option toolchain: {toolchain!r} is not supported by this language host; nothing was run. "
                "Use `toolchain: pip`, or install the official pulumi CLI"
            )
        name = options.get("virtualenv")
        if not name:
            return cls(None)
        beside_program = Path(program, str(name))
        return cls(beside_program if beside_program.is_dir() else Path(root, str(name)))

    @property
    def python(self) -> str:
        """Path of the interpreter. Raises PythonEnvironmentError if there is none."""
        if self.folder is None:
            found = shutil.which("python3") or shutil.which("python")
            if found is None:
                raise PythonEnvironmentError("python3: not on the PATH; nothing was run. Set the option `virtualenv`")
            return found
        python = self.folder / "bin" / "python"
        if not (self.folder / "pyvenv.cfg").is_file() or not python.exists():
            raise PythonEnvironmentError(
                f"{self.folder}: is not a Python environment; nothing was run. Create it with "
                "`python3 dev.py setup` or `pulumi install`"
            )
        return str(python)

    def variables(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return `base` with this environment activated."""
        result = dict(base)
        if self.folder is not None:
            result["VIRTUAL_ENV"] = str(self.folder)
            result["PATH"] = os.pathsep.join([str(self.folder / "bin"), result.get("PATH", os.defpath)])
            result.pop("PYTHONHOME", None)
        return result

    def site_packages(self) -> list[str]:
        """Return the folders of installed packages; none for the machine's own Python, which is not searched."""
        if self.folder is None:
            return []
        return [str(path) for path in self.folder.glob("lib/python3*/site-packages")]

    def plugins(self) -> Iterator[Mapping[str, str]]:
        """Yield each `pulumi-plugin.json` of an installed package with a resource plugin: name, version, server."""
        for site in self.site_packages():
            for path in sorted(Path(site).glob("*/pulumi-plugin.json")):
                plugin = json.loads(path.read_text("utf-8"))
                if plugin.get("resource") and plugin.get("name") and plugin.get("version"):
                    yield plugin

    def dependencies(self, transitive: bool) -> dict[str, str]:
        """Return installed packages and their versions; without `transitive`, only those that no other requires."""
        found = list(metadata.distributions(path=self.site_packages()))
        required = {project(line) for each in found for line in each.requires or [] if not transitive}
        return {each.name: each.version for each in found if project(each.name) not in required}


def project(requirement: str) -> str:
    """Return the normalized project name (PEP 503) at the start of a requirement line."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]).lower()
