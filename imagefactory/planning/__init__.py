"""All decisions, as pure functions: what each lab must contain, and what is saved, pruned, cleaned up or kept.

A plan is a value, derived from configuration, images and observations. Other packages carry it out.
"""
