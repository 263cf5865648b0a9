"""Reports for users: the factory's catalog as a value and an HTML page, the plan of a run as a value and as Markdown.

Pure functions that return values and strings. Does not write files or print: `imagefactory.cli` does.
"""
