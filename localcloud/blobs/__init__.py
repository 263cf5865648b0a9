"""The blob service of the embedded cloud: Azurite as a child process, and a front that adds what Azurite lacks."""
