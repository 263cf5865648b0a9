"""What would make a distribution fail, before it starts: checks, each with its result and its remedy.

Reads settings, tools, sign-in, labs, storage and state side by side. Does not print: `imagefactory.cli.doctor` does.
"""
