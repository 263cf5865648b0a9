"""Golden images: the JSON files beneath the image root.

Finds them and reports those that cannot be used. Does not interpret their content (ARM templates) and does not follow
links out of the root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from imagefactory.configuration.image_names import image_name, path_problem
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.json_documents import JsonDocument, JsonError, parse_json
from imagefactory.diagnostics import Diagnostic, Location, Severity, error

_CONSEQUENCE = "no image can be created from it"
_SOME_DAY = date(2026, 12, 30)
_KEYS = ("Labs", "metadata", "imageOsState", "$schema")
_PARAMETERS = "/deploymentparameters.json"
"""Ends the `$schema` of a file of parameter values (learn.microsoft.com, "Create Resource Manager parameter file")."""


@dataclass(frozen=True)
class GoldenImage:
    """A golden image: its path relative to the image root and the file that defines it."""

    path: ImagePath
    file: Path
    generalized: bool | None = None
    """Whether VMs built from it are generalized (`metadata.imageOsState` of the template); None: not specified."""


def is_generalized(os_state: object, written: str | None = None) -> bool:
    """Parse an OS state, case-insensitive. Raises ValueError with the reason, a phrase for a diagnostic.

    The reason quotes the state as `written`.
    """
    states = {"generalized": True, "specialized": False}
    state = states.get(os_state.strip().lower()) if isinstance(os_state, str) else None
    if state is None:
        raise ValueError(f"is {written or repr(os_state)}, neither Generalized nor Specialized")
    return state


def find_golden_images(
    root: Path, not_images: frozenset[Path] = frozenset(), names: Severity = Severity.WARNING
) -> tuple[list[GoldenImage], list[Diagnostic]]:
    """Return all `*.json` beneath the root in the order of their paths, and their diagnostics.

    Skips hidden files, schemas (`*.schema.json`), labs files, parameter files of templates and `not_images`. Lists a
    file that is not valid JSON, so that no other diagnostic says that its entry in labs.json matches nothing. Accepts
    what PowerShell accepts, such as comments, because ARM does too. `names` is the severity of a path that Azure would
    reject as the name of a custom image.
    """
    found: dict[ImagePath, GoldenImage] = {}
    diagnostics: list[Diagnostic] = []
    for file in _json_files(root, diagnostics):
        if file in not_images:
            continue
        generalized = None
        subject, location = f"golden image {file.relative_to(root).as_posix()}", Location(file.as_posix())
        try:
            path = ImagePath.parse(file.relative_to(root).as_posix())
            document = parse_json(file.read_bytes(), file.as_posix(), _CONSEQUENCE, _KEYS)
        except JsonError as problem:
            diagnostics.append(problem.diagnostic)
        except ValueError as reason:
            diagnostics.append(error(subject, f"its path {reason}", _CONSEQUENCE, "Rename the file", location))
            continue
        except OSError as problem:
            remedy = "Make it readable, or remove it"
            diagnostics.append(error(subject, f"cannot be read ({problem.strerror})", _CONSEQUENCE, remedy, location))
        else:
            if isinstance(document.value, dict) and ("Labs" in document.value or _has_parameters(document.value)):
                continue  # a labs file of another stack, or the values for a template beside it
            if not isinstance(document.value, dict):
                fact, remedy = "is not a JSON object", "Write an ARM template"
                diagnostics.append(error(subject, fact, _CONSEQUENCE, remedy, document.location()))
            else:
                generalized = _generalized(document, subject, diagnostics)
        if unusable := path_problem(path):
            fact = f"Azure would reject its path as the name of custom images: {unusable}"
            consequence = f"`save` gives them names such as {image_name(path, _SOME_DAY)}"
            diagnostics.append(Diagnostic(names, subject, fact, consequence, "Rename the file or folder", location))
        if duplicate := found.get(path):
            fact = f"differs from {duplicate.path} only in case"
            consequence = "labs.json cannot distinguish them"
            diagnostics.append(error(subject, fact, consequence, "Rename one of them", location))
        found.setdefault(path, GoldenImage(path, file, generalized))
    return [found[path] for path in sorted(found)], diagnostics


def _has_parameters(template: dict[str, object]) -> bool:
    return str(template.get("$schema")).lower().rstrip("#").endswith(_PARAMETERS)


def _generalized(document: JsonDocument, subject: str, diagnostics: list[Diagnostic]) -> bool | None:
    metadata, steps = document.value.get("metadata"), ("metadata", "imageOsState")
    if not isinstance(metadata, dict) or "imageOsState" not in metadata:
        return None
    try:
        return is_generalized(metadata["imageOsState"], document.written(steps))
    except ValueError as reason:
        place = document.location(steps)
        remedy = "Write Generalized or Specialized, or remove the key"
        diagnostics.append(
            error(subject, f"its metadata.imageOsState {reason}", "its VMs cannot be saved", remedy, place)
        )
        return None


def _json_files(root: Path, diagnostics: list[Diagnostic]) -> Iterator[Path]:
    """Yield visible JSON files beneath the root; report links to folders and links out of the root."""
    inside = root.resolve()
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for file in (Path(folder, name) for name in [*subfolders, *sorted(files)]):
            suffixes = [suffix.lower() for suffix in file.suffixes]
            is_json = suffixes[-1:] == [".json"] and suffixes[-2:] != [".schema", ".json"]
            if file.is_symlink() and (file.is_dir() or (is_json and not file.resolve().is_relative_to(inside))):
                target = "a folder" if file.is_dir() else "a file outside of the image root"
                subject, fact = file.relative_to(root).as_posix(), f"is a link to {target}, which is not followed"
                remedy = "Replace the link with the files themselves"
                diagnostics.append(error(subject, fact, _CONSEQUENCE, remedy, Location(file.as_posix())))
            elif is_json and not file.name.startswith(".") and not file.is_dir():
                yield file
