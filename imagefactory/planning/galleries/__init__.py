"""The Compute Gallery of a stack: its definitions, versions and regions, and what each lab offers of it."""
