"""The provider of `VhdCopy` and `StagedVhdRelease`: it moves VHDs into the storage accounts of target labs.

`server` speaks gRPC with the engine, `vhd_copy` and `release` hold one resource each, `copier` is what a copy is,
`service_copy` the copier that uses the storage service's own copy, `progress` what the user sees meanwhile.
"""
