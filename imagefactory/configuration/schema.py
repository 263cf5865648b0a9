"""The JSON Schema of labs.json for editors.

Owns its text, generated from the models that the program itself validates with. Refuses to read or write files.
"""

from __future__ import annotations

import json

from imagefactory.configuration.labs_file import LabsFile

SCHEMA_FILE = "labs.schema.json"


def labs_schema() -> str:
    """The schema as text, as `Configuration/labs.schema.json` holds it."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **LabsFile.model_json_schema()}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
