"""The copier, for the plugin and for `save`: VHDs go from account to account, by ranges or by the storage service.

`copier` is what every copy has in common, `staging` who needs a copy, `transfer` and `pacing` how ranges move.
"""
