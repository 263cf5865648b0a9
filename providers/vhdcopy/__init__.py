"""The provider plugin: gRPC with the engine, its resources `VhdCopy` and `StagedVhdRelease`, and the live row.

`server` speaks to the engine, each resource has a module; bytes are moved by `imagefactory.copying`.
"""
