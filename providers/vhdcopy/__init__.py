"""The provider of `VhdCopy` and `StagedVhdRelease`: it moves VHDs into the storage accounts of target labs.

`server` speaks gRPC with the engine, `vhd_copy` and `release` hold one resource each, `staging` shares staged VHDs
among them. `copier` is what every copy has in common; `ranged_copy` copies by ranges (with `transfer` and `pacing`),
`service_copy` has the storage service copy. `progress` and `totals` are what the user sees.
"""
