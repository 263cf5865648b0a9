"""The comment of a stack on a pull request, of GitHub or Azure Repos: one for each stack, updated in place.

`job` finds the pull request of the running job, `body` makes the text, `github` and `azure_repos` write it.
"""
