"""The `imagefactory` command, one verb per file: it parses, calls the room below, and renders what comes back.

`main` maps exceptions to exit codes, `report` shows every verb's report, `output` is the only way to the streams.
"""
