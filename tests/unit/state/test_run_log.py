"""What a run did is read from the engine's event log: per lab, complete, and honest about a log that ends early."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.errors import ImageFactoryError
from imagefactory.reports.plan_markdown import LIMIT
from imagefactory.reports.run_markdown import run_markdown
from imagefactory.reports.run_summary import ORDER, PROBLEMS, RunSummary
from imagefactory.state.run_log import ATTACHMENT, read_logs, summarized
from imagefactory.state.stack_state import COPY, CUSTOM_IMAGE, LAB_GALLERY, RELEASE, VERSION
from tests.agent_commands import SET_VARIABLE, agent_commands
from tests.unit.state.run_events import diagnostic, done, failed, image, lab, outputs, started, summary, urn

WEB, DATA = "web@05d17100", "data@16fea16d"


def outcomes(found: RunSummary) -> dict[str, dict[str, str]]:
    """The outcomes by lab and image."""
    return {part.label: {item.name: item.outcome for item in part.items} for part in found.parts}


def test_each_lab_is_listed_with_what_was_done_and_what_was_not() -> None:
    """One lab's image is refused, the other lab's is made and an old one deleted; the run failed."""
    refusal = 'Status=403 Code="AuthorizationFailed"'
    log = [
        *lab(WEB),
        *lab(DATA),
        *done(COPY, f"{WEB}/new", "create"),
        *failed(CUSTOM_IMAGE, f"{WEB}/new", "create", refusal),
        *image(f"{DATA}/new", "create"),
        *image(f"{DATA}/same", "same"),
        *image(f"{DATA}/old", "delete"),
        diagnostic("update failed"),
        summary("failed"),
    ]
    found = summarized(log)
    assert outcomes(found) == {WEB: {"new": "failed"}, DATA: {"old": "deleted", "new": "created", "same": "unchanged"}}
    assert found.result == "failed" and found.failed and found.errors == ()
    assert found.labs[0].items[0].why == refusal
    assert [item.name for item in found.labs[1].told] == ["old", "new"]


def test_an_image_that_was_created_again_is_replaced() -> None:
    """As the engine reports it: three operations on the image, and an update of its copy."""
    log = [*lab(WEB), *done(COPY, f"{WEB}/a", "update")]
    for operation in ("create-replacement", "replace", "delete-replaced"):
        log += done(CUSTOM_IMAGE, f"{WEB}/a", operation)
    assert outcomes(summarized([*log, summary("succeeded")])) == {WEB: {"a": "replaced"}}
    log = [*lab(WEB), *done(CUSTOM_IMAGE, f"{WEB}/a", "create-replacement")]
    assert outcomes(summarized([*log, summary("succeeded")])) == {WEB: {"a": "replaced"}}


def test_a_run_without_problems_is_done() -> None:
    """Its exit code is 0."""
    found = summarized([*lab(WEB), *image(f"{WEB}/new", "create"), summary("succeeded")])
    assert not found.failed and not found.labs[0].has_problems


def test_a_log_that_ends_early_is_of_an_interrupted_run() -> None:
    """What was under way is interrupted; an image whose copy ended and that was not begun is not done."""
    log = [*lab(WEB), *done(COPY, f"{WEB}/a", "create"), *started(COPY, f"{WEB}/b", "create")]
    found = summarized([*log, summary("succeeded")[:40]])
    assert found.result == "interrupted" and found.failed
    assert outcomes(found) == {WEB: {"a": "not done", "b": "interrupted"}}
    assert "imagefactory plan" in found.lines()[1]


def test_what_is_kept_and_left_out_is_told_with_the_reasons_of_the_plan() -> None:
    """From the stack's outputs, which a failed run has, too; what no lab gets belongs to no lab."""
    left = {"lab": DATA, "image": "new", "imagePath": "p", "reason": "the lab could not be read"}
    other = {"lab": None, "image": "old", "imagePath": "p", "reason": "older than the newest 1"}
    kept = {"lab": WEB, "image": "old", "imagePath": "p", "reason": "the lab must first have new"}
    error = f"Configuration/labs.json:3:5: lab {DATA}: cannot be read; nothing is distributed to it. Fix that."
    log = [*lab(WEB), *image(f"{WEB}/old", "same"), diagnostic(error), diagnostic("pins: none such")]
    found = summarized([*log, outputs(retained=[kept], omissions=[left, other]), summary("failed")])
    assert outcomes(found) == {DATA: {"new": "left out"}, WEB: {"old": "kept"}}
    assert found.labs[0].errors == (error,) and found.labs[0].has_problems and not found.labs[1].has_problems
    assert found.errors == ("pins: none such",)


def test_the_gallery_is_a_part_of_its_own() -> None:
    """Its versions; what a lab offers of it belongs to the lab."""
    log = [*failed(VERSION, "def/1.0.0", "create", "no"), *done(LAB_GALLERY, WEB, "update"), summary("failed")]
    assert outcomes(summarized(log)) == {WEB: {ATTACHMENT: "updated"}, "": {"def/1.0.0": "failed"}}


def test_a_repetition_adds_to_what_the_first_run_did() -> None:
    """What the first run made stays made; what failed in it and not in the second is done."""
    first = [*lab(WEB), *image(f"{WEB}/a", "create"), *failed(COPY, f"{WEB}/b", "create", "no"), summary("failed")]
    second = [*lab(WEB), *image(f"{WEB}/a", "same"), *image(f"{WEB}/b", "create"), summary("succeeded")]
    found = summarized(first, second)
    assert outcomes(found) == {WEB: {"a": "created", "b": "created"}} and not found.failed
    assert summarized(second, first).failed


def test_a_file_that_tells_nothing_is_an_error(tmp_path: Path) -> None:
    """It is missing, empty, no log, or the log of a preview; the error says how to write one."""
    preview = "\n".join([*lab(WEB), summary("succeeded", isPreview=True)])
    for number, text in enumerate([None, "", "{}\n[]\nx", preview]):
        file = tmp_path / f"{number}.jsonl"
        if text is not None:
            file.write_text(text, "utf-8")
        with pytest.raises(ImageFactoryError, match="--event-log"):
            read_logs([file])


def test_no_text_of_the_cloud_is_a_command_markup_or_a_secret() -> None:
    """In JSON and Markdown."""
    hostile = f"{SET_VARIABLE}\n::add-mask::x |** https://a.blob.example/c/b?sv=1&sig=AbC"
    log = [*lab(WEB), *failed(COPY, f"{WEB}/{SET_VARIABLE}", "create", hostile), diagnostic(hostile), summary("failed")]
    found = summarized(log)
    for text in (run_markdown(found), "\n".join(json.dumps(found.to_dict(), indent=2).splitlines())):
        assert not agent_commands(text) and "AbC" not in text


def test_markdown_has_a_limit_and_counts_what_does_not_fit() -> None:
    """Problems and labs first."""
    log = [line for each in range(900) for line in failed(COPY, f"lab{each}@05d17100/image", "create", "no " * 200)]
    text = run_markdown(summarized([*log, summary("failed")]))
    assert len(text) <= LIMIT and "... and" in text and "#### Not done" in text and "#### Labs" in text


OPERATIONS = st.sampled_from(["same", "create", "update", "delete", "refresh"])
KINDS, NAMES = st.sampled_from([COPY, CUSTOM_IMAGE, RELEASE]), st.sampled_from([f"{WEB}/a", f"{WEB}/b"])
EVENTS = st.builds(
    lambda event, *of: list(event(*of)), st.sampled_from([started, done]), KINDS, NAMES, OPERATIONS
) | st.builds(lambda *of: [diagnostic("no", urn(*of))], KINDS, NAMES)


@given(st.lists(EVENTS, max_size=12), st.integers(min_value=0), st.booleans())
def test_every_beginning_of_a_log_has_a_summary_that_claims_no_success(
    parts: list[list[str]], cut: int, ended: bool
) -> None:
    """Wherever it is cut, also within a line; a run is done only if its end says so and nothing is undone."""
    text = "\n".join([*(line for part in parts for line in part), *([summary("succeeded")] if ended else [])])
    found = summarized(text[: cut % (len(text) + 1)].splitlines())
    assert found.result == "interrupted" or ended
    items = [item for part in found.parts for item in part.items]
    assert {item.outcome for item in items} <= set(ORDER)
    assert found.failed == (found.result != "succeeded" or any(item.outcome in PROBLEMS for item in items))
