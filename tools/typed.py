"""Plugin of mypy: `strict` and `strict_keywords` of stages.settings.read make dataclasses.

mypy knows the decorator of pydantic where it is written out, and not the two names that it has
there.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.nodes import DataclassTransformSpec
from mypy.plugin import ClassDefContext, Plugin
from mypy.plugins.dataclasses import DataclassTransformer, dataclass_tag_callback

DECORATORS = {"stages.settings.read.strict": False, "stages.settings.read.strict_keywords": True}
"""Full name of a decorator: whether its keys are given by name only."""


def _transform(context: ClassDefContext, kw_only: bool) -> bool:
    spec = DataclassTransformSpec(
        eq_default=True,
        order_default=False,
        kw_only_default=kw_only,
        frozen_default=True,
        field_specifiers=("pydantic.fields.Field",),
    )
    return DataclassTransformer(context.cls, context.reason, spec, context.api).transform()


class FrozenSettings(Plugin):
    """The plugin."""

    def get_class_decorator_hook(self, fullname: str) -> Callable[[ClassDefContext], None] | None:
        """Mark the class before its bases are looked at."""
        return dataclass_tag_callback if fullname in DECORATORS else None

    def get_class_decorator_hook_2(self, fullname: str) -> Callable[[ClassDefContext], bool] | None:
        """Give the class its `__init__` and what else a dataclass has."""
        if fullname not in DECORATORS:
            return None
        return lambda context: _transform(context, DECORATORS[fullname])


def plugin(version: str) -> type[Plugin]:
    """What mypy asks for."""
    return FrozenSettings
