"""The image factory for Azure DevTest Labs: one installed package, one sub-package for each subject.

A sub-package imports only those below it: cli, factory_lab, reports and copying, azure, planning, observed, images,
configuration, telemetry, aio.
"""

__version__ = "0.1.0"
"""The version of the project. pyproject.toml reads it here, because the provider also runs where the project is not
installed."""
