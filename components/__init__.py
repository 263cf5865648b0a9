"""Pulumi resources: the images of each lab, and their staged VHDs. They declare; they do not read Azure."""
