"""Python language host for an engine that was built without one (see toolchain.setup.engine).

Owns what the engine asks of a language host: run a program, run a provider from source, list packages, install them.
It behaves as the official `pulumi-language-python` does for the pip tool chain. It refuses other tool chains, debugging
and code generation: those need the official host.
"""
