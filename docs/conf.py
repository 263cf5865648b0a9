"""How Sphinx renders the documents: a site with search and dark mode. CONTRIBUTING.md shows the command."""

project = "Image factory for Azure DevTest Labs"
html_title = project
html_theme = "furo"
extensions = ["myst_parser", "sphinx_external_toc", "sphinxcontrib.mermaid"]
exclude_patterns = ["_*"]
# As GitHub names headings.
myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]
