"""Pickles in the way of NVlabs's stylegan2-ada-pytorch: modules that carry the source code of their class.

A module pickles itself as a call of torch_utils.persistence._reconstruct_persistent_obj with its class's source, name
and attributes. The stand-ins below have the names of that project's modules while something is pickled, and no code of
it. Needs PyTorch.
"""

from __future__ import annotations

import pickle
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np

SOURCE = "import os\nos.system('touch {sentinel}')\nclass Generator: pass\n"


def _reconstruct_persistent_obj(meta):
    raise AssertionError("nothing may call this")


class EasyDict(dict):
    """A dict by another name."""


class Persistent:
    """What pickles as a persistent object; `source` would be run by that project's own unpickler."""

    def __init__(self, class_name: str, state: dict, source: str = SOURCE):
        self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": state}

    def __reduce__(self):
        return _reconstruct_persistent_obj, (self.meta,), None


@contextmanager
def _named_as_there():
    """Puts the stand-ins where a pickle by reference finds them; and takes them away again."""
    places = {"torch_utils.persistence": _reconstruct_persistent_obj, "dnnlib.util": EasyDict}
    before = {}
    for name, thing in places.items():
        for module in (name.split(".")[0], name):
            before[module] = sys.modules.get(module)
            sys.modules[module] = types.ModuleType(module)
        setattr(sys.modules[name], thing.__name__, thing)
        thing.__module__ = name
    try:
        yield
    finally:
        for module, old in before.items():
            if old is None:
                del sys.modules[module]
            else:
                sys.modules[module] = old


def dumps(contents, protocol: int = 4) -> bytes:
    with _named_as_there():
        return pickle.dumps(contents, protocol)


def module(class_name: str, attributes: dict, modules: dict, parameters: dict,
           buffers: dict | None = None) -> Persistent:
    """A module as PyTorch keeps one: its own attributes beside the dictionaries that every module has."""
    import torch
    state = {"training": False, "_parameters": OrderedDict((name, None if value is None else torch.nn.Parameter(
        value, requires_grad=False)) for name, value in parameters.items()), "_buffers": OrderedDict(buffers or {}),
        "_non_persistent_buffers_set": set(), "_backward_hooks": OrderedDict(), "_forward_hooks": OrderedDict(),
        "_modules": OrderedDict(modules), "_init_args": (), "_init_kwargs": EasyDict(attributes)}
    return Persistent(class_name, {**state, **attributes})


KINDS = {"synthesis": "SynthesisNetwork", "mapping": "MappingNetwork", "affine": "FullyConnectedLayer",
         "torgb": "ToRGBLayer", "conv0": "SynthesisLayer", "conv1": "SynthesisLayer"}


def tree(state: dict, top: str, block: str, attributes: dict) -> Persistent:
    """The modules that hold these entries; `attributes` by full name, such as "synthesis.b4.architecture"."""
    def build(path: str, kind: str) -> Persistent:
        inside = {name.removeprefix(path): value for name, value in state.items() if name.startswith(path)}
        children = list(dict.fromkeys(name.split(".")[0] for name in inside if "." in name))
        own = {name: value for name, value in inside.items() if "." not in name}
        buffers = {name: value for name, value in own.items() if name in ("resample_filter", "noise_const", "w_avg")}
        given = {name.removeprefix(path): value for name, value in attributes.items()
                 if name.startswith(path) and "." not in name.removeprefix(path)}
        modules = {child: build(f"{path}{child}.", KINDS.get(child, block if child[1:].isdigit() else
                                                             "FullyConnectedLayer")) for child in children}
        return module(kind, given, modules, {name: value for name, value in own.items() if name not in buffers},
                      buffers)
    return build("", top)


def snapshot(generator: dict, critic: dict, protocol: int, mapping_multiplier: float, changes: dict | None = None,
             ) -> bytes:
    """A network-snapshot-*.pkl with these entries (tensors) as G_ema and D, and G as all zeros."""
    import torch
    attributes = {"c_dim": 0, "img_channels": 3, "z_dim": 10}
    for name, tensor in generator.items():
        stem, _, last = name.rpartition(".")
        if stem.startswith("mapping.fc") and last == "weight":
            attributes |= {f"{stem}.activation": "lrelu", f"{stem}.bias_gain": mapping_multiplier,
                           f"{stem}.weight_gain": mapping_multiplier / np.sqrt(tensor.shape[1])}
        if last == "noise_const":
            attributes |= {f"{stem}.activation": "lrelu", f"{stem}.conv_clamp": 256, f"{stem}.use_noise": True}
            attributes[f"{stem.rpartition('.')[0]}.architecture"] = "skip"
    for_critic = {"c_dim": 0, "img_channels": 3}
    for name in critic:
        if name.endswith("resample_filter") and name.count(".") == 1:
            for_critic[f"{name.split('.')[0]}.architecture"] = "resnet"
    attributes |= changes or {}
    zeros = {name: torch.zeros_like(tensor) for name, tensor in generator.items()}
    return dumps({
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", path="data.zip", xflip=True),
        "G": tree(zeros, "Generator", "SynthesisBlock", attributes),
        "D": tree(critic, "Discriminator", "DiscriminatorBlock", for_critic),
        "G_ema": tree(generator, "Generator", "SynthesisBlock", attributes),
        "augment_pipe": module("AugmentPipe", {"p": 0.0}, {}, {}, {"Hz_geom": torch.ones(12)}),
    }, protocol)
