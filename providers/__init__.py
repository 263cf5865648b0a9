"""Resource providers, each a plugin that the engine starts from source."""
