"""Python language host for an engine that was built without one (see toolchain.setup.engine).

Runs programs and providers from source, lists and installs packages, as the official `pulumi-language-python` does with
`toolchain: pip`. Does not support other toolchains, debugging and code generation, which need the official host.
"""
