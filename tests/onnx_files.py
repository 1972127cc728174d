"""ONNX files of small networks from picture to picture, built with onnx.helper, for tests."""
import numpy as np

# Turns each channel into the negative of the next: what a file draws is then known exactly, and its axes cannot be
# mistaken for each other.
MIXING = -np.roll(np.eye(3, dtype=np.float32), 1, axis=1)


def expected(photo):
    """What the network of `write` makes of a uint8 RGB picture."""
    return 255 - photo[..., [1, 2, 0]]


def write(path, layout="NCHW", size=(None, None), halvings=0, channels=3, batch=None, dtype=np.float32, inputs=1,
          metadata=None, grows=False, **saving):
    """A network that mixes channels by MIXING. With `halvings` it is made half as large so often and enlarged back, so
    that it gives another size for sides which are no multiples of 2**halvings."""
    import onnx
    from onnx import helper, numpy_helper
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    height, width = (side or name for side, name in zip(size, ("height", "width"), strict=True))
    order = [0, 2, 3, 1]
    shape = [batch or "count", channels, height, width]
    if layout == "NHWC":
        shape = [shape[axis] for axis in order]
    inner = np.float32 if np.dtype(dtype).kind != "f" else dtype
    weight = np.broadcast_to(MIXING[:, :1], (3, channels)) if channels != 3 else MIXING
    tensors = [numpy_helper.from_array(np.ascontiguousarray(weight[..., None, None], dtype=inner), "weight"),
               numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice")]
    nodes, name = [], "photo"

    def add(operator, *more, **attributes):
        nonlocal name
        nodes.append(helper.make_node(operator, [name, *more], [f"x{len(nodes)}"], **attributes))
        name = f"x{len(nodes) - 1}"
    if inner is not dtype:
        add("Cast", to=helper.np_dtype_to_tensor_dtype(np.dtype(inner)))
    if layout == "NHWC":
        add("Transpose", perm=[0, 3, 1, 2])
    add("Conv", "weight")
    for _ in range(halvings):
        add("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    for _ in range(halvings + grows):
        add("Resize", "", "twice", mode="nearest")
    if layout == "NHWC":
        add("Transpose", perm=order)
    graph_inputs = [helper.make_tensor_value_info("photo", kind, shape)]
    for number in range(1, inputs):
        graph_inputs.append(helper.make_tensor_value_info(f"more{number}", kind, shape))
        add("Add", f"more{number}")
    graph = helper.make_graph(nodes, "mixing", graph_inputs,
                              [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(inner)),
                                                             [None] * 4)], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {key: str(value) for key, value in (metadata or {}).items()})
    onnx.save(model, str(path), **saving)
    return path
