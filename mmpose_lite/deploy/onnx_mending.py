"""What the exporter writes and ONNX Runtime refuses, in a form that both take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .runtime.extras import extra


def mended(data: bytes) -> bytes:
    """A graph that says the same to engines that are strict.

    Args:
        data: An ONNX file.

    Raises:
        ImportError: If onnx is not installed.
    """
    onnx = extra('onnx')
    model = onnx.load_from_string(data)
    nodes: list[Any] = []
    makers: dict[str, Any] = {}
    changed = False
    for node in model.graph.node:
        makers.update(dict.fromkeys(node.output, node))
        step = _STEPS.get(node.op_type)
        steps = step(onnx, node, makers) if step else None
        changed |= steps is not None
        nodes += [node] if steps is None else steps
    if not changed:
        return data
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def _attributes(onnx: Any, node: Any) -> dict[str, Any]:
    found = node.attribute if node is not None else ()
    return {one.name: onnx.helper.get_attribute_value(one) for one in found}


def _transpose(onnx: Any, node: Any, makers: Mapping[str, Any]) -> list[Any] | None:
    """Axes counted from the start: ``movedim`` writes negative ones."""
    axes = list(node.attribute[0].ints) if node.attribute else []
    if not axes or min(axes) >= 0:
        return None
    positive = [axis % len(axes) for axis in axes]
    return [onnx.helper.make_node(
        'Transpose', node.input, node.output, node.name, perm=positive
    )]  # fmt: skip


def _eye(onnx: Any, node: Any, makers: Mapping[str, Any]) -> list[Any] | None:
    """A diagonal of numbers, made truth values afterwards."""
    kinds = onnx.TensorProto
    options = _attributes(onnx, node)
    kind = options.get('dtype')
    if kind is None:  # then it is that of the input
        value = _attributes(onnx, makers.get(node.input[0])).get('value')
        kind = value.data_type if value is not None else None
    if kind != kinds.BOOL:
        return None
    before, after = (f'{node.output[0]}_{end}' for end in ('shape', 'numbers'))
    make = onnx.helper.make_node
    options['dtype'] = kinds.FLOAT
    return [
        make('Cast', node.input, [before], f'{node.name}_shape', to=kinds.FLOAT),
        make('EyeLike', [before], [after], node.name, **options),
        make('Cast', [after], node.output, f'{node.name}_cast', to=kinds.BOOL),
    ]


_STEPS = {'Transpose': _transpose, 'EyeLike': _eye}
