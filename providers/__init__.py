"""Resource providers of the product, each a plugin that the engine starts from source."""
