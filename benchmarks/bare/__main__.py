"""The bare program: a component per lab, and per image a chain of three resources that exist only in the state."""

import gc
from typing import Any

import pulumi


def quiet() -> None:
    """Drop the SDK's debug messages and collect garbage seldom, as the product does."""

    def drop(*_: Any, **__: Any) -> None:
        pass

    pulumi.log.debug = drop
    gc.set_threshold(100_000, 50, 50)


config = pulumi.Config()
if config.get_bool("lean"):
    quiet()


class Link(pulumi.CustomResource):
    """One resource of a chain."""

    text: pulumi.Output[str]

    def __init__(self, kind: str, name: str, text: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__(f"idle:index:{kind}", name, {"text": text}, opts)


for lab in range(config.require_int("labs")):
    component = pulumi.ComponentResource("bare:index:Lab", f"lab{lab}")
    child = pulumi.ResourceOptions(parent=component)
    for image in range(config.require_int("imagesPerLab")):
        name = f"lab{lab}/image{image}"
        first = Link("First", name, name, child)
        second = Link("Second", name, first.text, child)
        third = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[second]))
        Link("Third", name, first.text, third)
    component.register_outputs({})
