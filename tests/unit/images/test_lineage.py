"""Commit and pipeline run from the common CI systems, and the tags of a lineage."""

from __future__ import annotations

import pytest

from imagefactory.images.lineage import of_pipeline


@pytest.mark.parametrize(
    ("variables", "commit", "run"),
    [
        (
            {
                "BUILD_SOURCEVERSION": "abc",
                "BUILD_BUILDID": "17",
                "SYSTEM_TEAMPROJECT": "Image Factory",
                "SYSTEM_COLLECTIONURI": "https://dev.azure.com/contoso/",
            },
            "abc",
            "https://dev.azure.com/contoso/Image%20Factory/_build/results?buildId=17",
        ),
        (
            {
                "GITHUB_SHA": "def",
                "GITHUB_RUN_ID": "5",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "contoso/images",
            },
            "def",
            "https://github.com/contoso/images/actions/runs/5",
        ),
        ({"CI_COMMIT_SHA": "a", "CI_PIPELINE_URL": "https://lab/p/3"}, "a", "https://lab/p/3"),
        ({"GIT_COMMIT": "b", "BUILD_URL": "https://jenkins/job/1/"}, "b", "https://jenkins/job/1/"),
        ({}, "", ""),
    ],
)
def test_commit_and_run_are_read_from_every_common_ci_system(variables: dict[str, str], commit: str, run: str) -> None:
    """Without such a system, both are empty."""
    told = of_pipeline(variables)
    assert (told.commit, told.pipeline_run, told.vm) == (commit, run, "")
