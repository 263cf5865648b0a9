"""The pipeline shows per lab what each run did."""

from __future__ import annotations

from pathlib import Path

from tests.test_pipeline import expanded, run_step, script, steps


def test_the_summary_of_each_lab_is_shown_after_every_run_and_published(tmp_path: Path) -> None:
    """Also of a failed or canceled run, from the logs of both runs; without a log there is none."""
    (up, summarize, show, publish) = [step for stage, step in steps(expanded("main")) if stage == "up_dev"][-4:]
    text = script(up)
    assert "export PULUMI_DEBUG_COMMANDS=true" in text and text.count('--event-log "$log.') == 2
    assert [step["condition"] for step in (summarize, show, publish)] == ["always()"] * 3
    assert run_step(script(summarize), tmp_path, "exit 9", "imagefactory").stdout == ""
    assert run_step(script(show), tmp_path, "exit 9").stdout == ""
    logs = [tmp_path / f"up-dev.{number}.jsonl" for number in (1, 2)]
    for log in logs:
        log.touch()
    done = run_step(script(summarize), tmp_path, 'echo "of $@"; exit 1', "imagefactory")
    assert done.returncode == 1 and done.stdout == f"of summary {logs[0]} {logs[1]}\n"
    report = tmp_path / "summary-dev.md"
    assert "--format markdown" in report.read_text("utf-8")
    assert run_step(script(show), tmp_path, "exit 9").stdout == f"##vso[task.uploadsummary]{report}\n"
    assert "--format json" in report.with_suffix(".json").read_text("utf-8")
    assert publish["publish"] == "$(Agent.TempDirectory)/summary-dev.json"
