"""The provider plugin: gRPC with the engine, its resources, and the live row.

`server` handles the engine's calls, and each resource type has a module. `imagefactory.copying` moves the bytes.
"""
