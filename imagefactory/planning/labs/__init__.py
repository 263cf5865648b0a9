"""What each target lab must contain: the plan, and what becomes of the images that are there."""
