"""Copies VHDs between storage accounts, by ranges or by the storage service; for the plugin and for `save`.

`copier` is the interface, `staging` shares copies between resources, `ranged_copy` and `transfer` copy ranges.
"""
