"""The domain of the image factory: labs.json, golden images, image paths, catalog and plan.

Owns every rule about what a lab must hold. Refuses network, Azure and Pulumi: all of it is pure functions over
immutable values, save for the reading of local configuration files.
"""

__version__ = "0.1.0"
"""Of the whole project: pyproject.toml reads it here, for the provider runs where the project is not installed too."""
