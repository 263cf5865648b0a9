"""AzCopy, Microsoft's own copier, beside the project's."""
