"""The options of `dev.py contract`, which runs `python -m contract` with the same ones."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser."""
    parser.add_argument(
        "--azure", action="store_true", help="run against a spare lab on Azure; needs --stack and --lab"
    )
    parser.add_argument("--stack", metavar="S", help="stack whose cloud and sign-in are used: S in Pulumi.S.yaml")
    parser.add_argument("--lab", metavar="SPARE", help="name of the spare lab; never the factory lab")
    parser.add_argument("--subscription", metavar="ID", help="subscription of the spare lab (default: the factory's)")
    parser.add_argument(
        "--resource-group", metavar="NAME", help="resource group of the spare lab, if its name is twice"
    )
    parser.add_argument(
        "--confirm-lab", metavar="NAME", help="confirm a lab that has images or VMs that no run created, by its name"
    )
    parser.add_argument("--only", action="append", metavar="TEXT", help="only experiments with TEXT in their name")
    parser.add_argument("--yes", action="store_true", help="run without a prompt")
    parser.add_argument("--json", action="store_true", help="print only one JSON document to stdout")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="file for the report (default: contract.json with --azure, else none)",
    )
    parser.add_argument(
        "--write-expected",
        action="store_true",
        help="replace contract/expected.json by what the embedded cloud answers",
    )
