"""The command `imagefactory`, with one file per subcommand: parse options, call the room below, render the result.

`main` maps exceptions to exit codes, `report` prints every subcommand's report, `output` writes to the streams.
"""
