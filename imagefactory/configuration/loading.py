"""The configuration folder as one value: target labs and golden images.

Reads it and applies the rules that need both. Reports all diagnostics; only a syntax error hides others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imagefactory.configuration.golden_images import GoldenImage, find_golden_images
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.json_documents import JsonDocument, JsonError, encode_as, parse_json
from imagefactory.configuration.labs_file import KEYS, TargetLab, read_labs, tolerated
from imagefactory.configuration.labs_matching import matching_findings, served_labs
from imagefactory.configuration.rings import ring_findings
from imagefactory.configuration.split import placed, split_findings
from imagefactory.configuration.stack_settings import Settings, StackBasics
from imagefactory.configuration.whole_files import replace_whole
from imagefactory.diagnostics import Diagnostic, Location, Severity, error, warning
from imagefactory.errors import ConfigurationError
from imagefactory.telemetry.phases import phase

_CONSEQUENCE = "nothing is distributed"


@dataclass(frozen=True)
class Configuration:
    """The user's configuration, without errors."""

    labs: tuple[TargetLab, ...]
    golden_images: tuple[GoldenImage, ...]
    warnings: tuple[Diagnostic, ...] = ()
    others: tuple[TargetLab, ...] = ()
    """The labs of the labs file that the stack does not serve (setting `labsMatching`): never read or touched."""

    @property
    def image_paths(self) -> tuple[ImagePath, ...]:
        """The image paths of the golden images."""
        return tuple(image.path for image in self.golden_images)


def load_of_stack(settings: Settings, stack: str = "") -> Configuration:
    """Read the folder that the settings of a stack name, with only the labs that it serves, and check the settings that
    need it. Raises as `load_configuration`, with the file of `stack` if it is given."""
    found = _of_stack(settings)
    wrong = list(matching_findings(settings.labs_matching, (*found.labs, *found.others)))
    if wrong := wrong or list(ring_findings(settings.rings, found.labs, found.others)):
        raise ConfigurationError([placed(one, stack) for one in wrong])
    return found


def load_stacks(stacks: Mapping[str, Settings]) -> list[tuple[Settings, Configuration]]:
    """Read the configurations of all stacks of a factory, by name.

    Raises as `load_configuration`, also if a lab belongs to none of them or to several: nobody keeps what it needs.
    """
    found = [(settings, load_of_stack(settings, name)) for name, settings in stacks.items()]
    wrong = (
        each
        for settings, one in found
        for each in check_split(settings.configuration, settings.labs, (*one.labs, *one.others), stacks)
    )
    if diagnostics := list(dict.fromkeys(wrong)):
        raise ConfigurationError(diagnostics)
    return found


def labs_of_stack(settings: Settings) -> tuple[TargetLab, ...]:
    """Read only the labs that another stack serves, whatever else is wrong with it. Raises as `load_configuration`."""
    return _of_stack(settings).labs


def check_split(
    directory: Path, labs_file: str, labs: Sequence[TargetLab], stacks: Mapping[str, StackBasics]
) -> list[Diagnostic]:
    """Return what is wrong with the division of the labs of a labs file among the stacks that use it."""
    path = _any_case(directory / labs_file).resolve()
    using = {
        name: stack for name, stack in stacks.items() if _any_case(stack.configuration / stack.labs).resolve() == path
    }
    return list(split_findings(using, labs))


def _of_stack(settings: Settings) -> Configuration:
    found = load_configuration(settings.configuration, settings.labs)
    served = served_labs(settings.labs_matching, found.labs)
    own = frozenset(served)
    return replace(found, labs=served, others=tuple(lab for lab in found.labs if lab not in own))


@phase("read configuration")
def load_configuration(
    directory: Path, labs_file: str = "labs.json", *, names: Severity = Severity.WARNING
) -> Configuration:
    """Read the folder. Raises ConfigurationError with all diagnostics if one of them is an error.

    `names` is the severity of a golden image whose path Azure would reject as the name of its custom images. It is an
    error for `validate`; a run does without the name, because `save` derives another one and labs keep their images.
    """
    if not directory.is_dir():
        remedy = "Create it, or set another: the setting imagefactory:configuration or the option --configuration"
        location = Location(directory.as_posix())
        raise ConfigurationError([error("configuration folder", "does not exist", _CONSEQUENCE, remedy, location)])
    labs_path = _any_case(directory / labs_file)
    golden_images, diagnostics = find_golden_images(_image_root(directory), frozenset({labs_path}), names)
    labs: tuple[TargetLab, ...] = ()
    try:
        labs, lab_diagnostics = read_labs(_labs_document(directory, labs_path), (image.path for image in golden_images))
    except JsonError as problem:
        diagnostics.append(problem.diagnostic)
    else:
        diagnostics += lab_diagnostics
        diagnostics += (
            warning(
                f"golden image {image.path}",
                "no lab uses it",
                "its images are not distributed",
                f"Add it to ImagePaths of a lab in {labs_path.name}, or remove the file",
                Location(image.file.as_posix()),
            )
            for image in golden_images
            if not any(lab.takes(image.path) for lab in labs)
        )
    diagnostics.sort(key=lambda diagnostic: _place(diagnostic.location))
    if any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics):
        raise ConfigurationError(diagnostics)
    return Configuration(labs, tuple(golden_images), tuple(diagnostics))


def load_golden_images(directory: Path, labs_file: str = "labs.json") -> tuple[GoldenImage, ...]:
    """Read only the golden images; none if the folder is missing. Raises ConfigurationError if one has an error."""
    golden_images, diagnostics = _golden_images(directory, labs_file)
    if errors := [diagnostic for diagnostic in diagnostics if diagnostic.severity is Severity.ERROR]:
        raise ConfigurationError(errors)
    return tuple(golden_images)


def find_image_paths(directory: Path, labs_file: str = "labs.json") -> tuple[ImagePath, ...]:
    """Return the image paths of the golden images, also of those with an error; none if the folder is missing."""
    return tuple(image.path for image in _golden_images(directory, labs_file)[0])


def fix_labs_file(directory: Path, labs_file: str = "labs.json") -> int:
    """Rewrite the labs file as strict JSON with its keys in their case; return the number of corrected places.

    Comments are removed; all else is kept, also the encoding. Replaces the file atomically. Does nothing if the file
    cannot be read or parsed. Raises ConfigurationError if it cannot be written.
    """
    path = _any_case(directory / labs_file)
    try:
        document = _labs_document(directory, path)
    except JsonError:
        return 0
    places = tolerated(document)
    try:
        if places:
            replace_whole(path, encode_as(document.corrected(places), path.read_bytes()))
    except OSError as problem:
        fact, location = f"cannot be written ({problem.strerror})", Location(path.as_posix())
        remedy = "Check the permissions of the file and its folder"
        raise ConfigurationError([error("labs file", fact, "it is not corrected", remedy, location)]) from None
    return len(places)


def _golden_images(directory: Path, labs_file: str) -> tuple[list[GoldenImage], list[Diagnostic]]:
    return find_golden_images(_image_root(directory), frozenset({_any_case(directory / labs_file)}))


def _image_root(directory: Path) -> Path:
    root = _any_case(directory / "GoldenImages")
    return root if root.is_dir() else directory


def _place(location: Location | None) -> tuple[str, int, int]:
    return (location.file, location.line or 0, location.column or 0) if location else ("", 0, 0)


def _any_case(path: Path) -> Path:
    """Return the path with its last name as on the disk, because Windows users may write it in any case."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return path
    alike = [name for name in names if name.lower() == path.name.lower()]
    return path if path.name in names or not alike else path.with_name(alike[0])


def _labs_document(directory: Path, path: Path) -> JsonDocument:
    location = Location(path.as_posix())
    outside = not path.resolve().is_relative_to(directory.resolve())
    if outside or path.is_dir():
        fact = f"is outside of the configuration folder {directory.as_posix()}" if outside else "is a folder"
        remedy = "Name a file in the configuration folder: the setting imagefactory:labs or the option --labs"
        raise JsonError(error("labs file", fact, _CONSEQUENCE, remedy, location))
    try:
        content = path.read_bytes()
    except OSError as problem:
        remedy = 'Write the target labs into it: {"Labs": [{"SubscriptionId", "LabName", "ImagePaths"}]}'
        fact = "is missing" if isinstance(problem, FileNotFoundError) else f"cannot be read ({problem.strerror})"
        raise JsonError(error("labs file", fact, _CONSEQUENCE, remedy, location)) from None
    return parse_json(content, path.as_posix(), _CONSEQUENCE, KEYS)
