"""Decisions about a whole stack that read its plan: what adoption takes over, what leaves and whether that is too much,
and which images another stack pins."""
