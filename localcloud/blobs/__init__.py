"""The blob service of the embedded cloud: Azurite as a child process, behind a proxy that adds what Azurite lacks."""
