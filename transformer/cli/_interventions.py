"""Interventions as a flag: JSON, as in `{"Ablate": {"heads": ["0:0"]}}`."""

import json
from typing import Any

from tyro.constructors import PrimitiveConstructorSpec, PrimitiveTypeInfo

from coopetition.tools.errors import UsageError
from coopetition.tools.flags import RULES
from transformer.config.interventions import Intervention, read_interventions
from transformer.config.plain import named


@RULES.primitive_rule
def _as_json(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How a config's interventions are read."""
    if info.type != tuple[Intervention, ...]:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=_read,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [json.dumps([named(each) for each in value])],
    )


def _read(words: list[str]) -> tuple[Intervention, ...]:
    try:
        return read_interventions(words[0])
    except UsageError as error:
        raise ValueError(str(error)) from None
