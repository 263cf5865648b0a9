"""Pulumi resources: what a lab holds, and the staged VHD on its way there. They declare; they never look at Azure."""
