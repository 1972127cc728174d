"""Builds an ONNX graph operator by operator; every value is known by its name in the graph."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import MissingExtra

OPSET, IR_VERSION = 17, 8                    # read by ONNX Runtime from 1.13 on, and by OpenVINO, TensorRT and MNN
# Smaller constants stay float32 in a file of half precision: they are shapes, norms and biases, and weigh nothing.
LARGEST_KEPT_FLOAT32 = 1024


class Graph:
    """An ONNX graph under construction.

    Args:
        half: stores large constants as float16, each followed by a cast: half the file, the same float32 arithmetic
            with weights rounded to 11 bits.
    Raises MissingExtra when the package onnx is not installed.
    """

    def __init__(self, half: bool = False):
        self._onnx = onnx_package()
        self._half = half
        self._nodes: list = []
        self._constants: list = []
        self._names = 0
        # Of layer norms, see export_forms.MeasuredNorms and GivenNorms: the values [1, 2] that each leaves, or the one
        # [norms, 2] that each takes its own from, in the order in which they are added.
        self.measured_moments: list[str] | None = None
        self.given_moments: Iterator[str] | None = None

    def constant(self, values) -> str:
        """The name of a constant: float32 or int64, as numpy sees `values`."""
        array = np.asarray(values)
        array = np.array(array, np.int64 if array.dtype.kind in "iu" else np.float32, order="C")
        name = self._name("constant")
        if not (self._half and array.dtype == np.float32 and array.size > LARGEST_KEPT_FLOAT32):
            self._constants.append(self._onnx.numpy_helper.from_array(array, name))
            return name
        limit = np.finfo(np.float16).max
        array = np.clip(array, -limit, limit).astype(np.float16)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return self.add("Cast", name, to=self._onnx.TensorProto.FLOAT)

    def add(self, operator: str, *inputs, **attributes) -> str:
        """Adds an operator and returns the name of its result. An input is a name, an array that becomes a constant,
        or None for one that is left out."""
        names = [given if isinstance(given, str) else "" if given is None else self.constant(given) for given in inputs]
        result = self._name(operator)
        self._nodes.append(self._onnx.helper.make_node(operator, names, [result], name=result, **attributes))
        return result

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}_{self._names}"

    def model(self, name: str, inputs: Mapping[str, tuple[str, Sequence]], outputs: Mapping[str, tuple[str, Sequence]],
              about: Mapping[str, str]):
        """The finished ModelProto.

        Args:
            inputs: by name, (numpy's name of its type, shape); a text in a shape is the name of a size that varies.
            outputs: by the name that it gets, (value in the graph, shape).
            about: what the file says of itself, texts by name.
        """
        helper = self._onnx.helper

        def described(key: str, dtype: str, shape: Sequence) -> Any:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            return helper.make_tensor_value_info(key, kind, list(shape))

        renamed = [helper.make_node("Identity", [value], [key], name=key) for key, (value, _) in outputs.items()]
        graph = helper.make_graph([*self._nodes, *renamed], name,
                                  [described(key, dtype, shape) for key, (dtype, shape) in inputs.items()],
                                  [described(key, "float32", shape) for key, (_, shape) in outputs.items()],
                                  self._constants)
        model = helper.make_model(graph, producer_name="ppgan_apps", ir_version=IR_VERSION,
                                  opset_imports=[helper.make_opsetid("", OPSET)])
        helper.set_model_props(model, dict(about))
        return model


def onnx_package():
    """The package onnx. Raises MissingExtra."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "onnx", "Writing an ONNX file") from error
    return onnx
