"""Every decision, pure: what each lab must hold, and what is saved, pruned, cleaned up, kept or not deleted.

A plan is a value made from configuration, images and observations; others carry it out.
"""
