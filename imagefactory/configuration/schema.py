"""The JSON Schema of labs.json for editors.

Generates it from the models that the program itself validates with. Does not read or write files.
"""

from __future__ import annotations

import json

from imagefactory.configuration.labs_file import LabsFile

SCHEMA_FILE = "labs.schema.json"


def labs_schema() -> str:
    """Return the content of `Configuration/labs.schema.json`."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **LabsFile.model_json_schema()}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
