"""The image factory for Azure DevTest Labs: the one package that is installed, one room for each subject.

A room uses only rooms below it: cli, factory_lab, reports and copying, azure, planning, observed, images,
configuration, aio.
"""

__version__ = "0.1.0"
"""Of the whole project: pyproject.toml reads it here, for the provider runs where the project is not installed too."""
