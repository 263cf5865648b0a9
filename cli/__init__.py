"""The `imagefactory` command: one verb per file. Owns options, output and exit codes; refuses rules of its own."""
