"""The verbs that a training step is written with: update, once, frozen, ema, full_precision, linear_decay."""
from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import contextmanager
from typing import Literal

import paddle

from . import sharing
from .errors import ConfigError


def update(optimizer, loss, batch: dict | None = None) -> dict:
    """One step of `optimizer` down the gradient of `loss`, which is averaged over the processes first.

    With a `batch`, `loss` is a function of a part of it: it returns (the loss, what to log, a dict of tensors), and the
    gradients of the parts that the run's `accumulate` asks for are averaged. Returns what it logs, averaged over the
    parts. Without one, `loss` is a scalar made from the whole batch, which cannot be split: ConfigError when it should.
    """
    optimizer.clear_grad()
    scale = getattr(optimizer, "loss_scale", None)             # the trainer gives it one in float16
    if batch is None:
        _refuse_to_split()
        _backward(loss, scale)
        logged = [{}]
    else:
        logged = sharing.each_part(batch, lambda part: _backward_of_part(loss, part, scale))
    sharing.mean_gradients(optimizer._parameter_list)
    if scale is None or scale.take_off(optimizer._parameter_list):
        optimizer.step()
    optimizer.clear_grad()
    return {name: sum(entry[name] for entry in logged) / len(logged) for name in logged[0]}


def _refuse_to_split() -> None:
    if sharing.current().accumulate > 1:
        raise ConfigError(f"accumulate is {sharing.current().accumulate}, but this family makes its losses from the "
                          f"whole batch: set it to 1.")


def _backward_of_part(loss: Callable, part: dict, scale) -> dict:
    value, logged = loss(part)
    _backward(value / sharing.current().accumulate, scale)
    return {name: entry.detach() for name, entry in logged.items()}


def _backward(loss, scale) -> None:
    with full_precision():                                     # each operator goes back in the precision it came in
        (loss if scale is None else scale.put_on(loss)).backward()


class LossScale:
    """What float16 needs: the loss is multiplied by a number large enough that small gradients do not become 0.

    It halves when a gradient is no longer finite, and that step is left out; after `growth_every` good steps in a row
    it doubles (Micikevicius 2018, arXiv 1710.03740, section 3.2). Start and pace are those of Paddle's GradScaler,
    which does nothing on a CPU, so that neither its arithmetic nor an exact resume could be tested there.
    """

    def __init__(self, start: float = 2.0**15, growth_every: int = 1000):
        self.state = paddle.to_tensor([start, 0.0])            # the scale; good steps in a row: kept in checkpoints
        self.growth_every = growth_every

    def put_on(self, loss):
        """The loss times the scale, in float32."""
        return loss.astype("float32") * self.state[0]

    @paddle.no_grad()
    def take_off(self, parameters) -> bool:
        """Divides the gradients by the scale; False when one of them is not finite, so that no step may be taken."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        scale, good_steps = self.state.tolist()
        for gradient in gradients:
            gradient.scale_(1.0 / scale)
        if not math.isfinite(sum(gradient.astype("float32").abs().max() for gradient in gradients)):
            self.state.set_value(paddle.to_tensor([max(scale / 2, 1.0), 0.0]))
            return False
        grows = good_steps + 1 >= self.growth_every
        self.state.set_value(paddle.to_tensor([scale * 2, 0.0] if grows else [scale, good_steps + 1]))
        return True


def once(make: Callable) -> Callable:
    """`make`, a function of the batch, computed once for both updates of a step.

    Of a batch in parts each is made anew: kept, the graphs of all parts would fill the memory that splitting saves.
    """
    made: list = []

    def of(part):
        if sharing.current().accumulate > 1:
            return make(part)
        if not made:
            made.append(make(part))
        return made[0]
    return of


@contextmanager
def frozen(*networks):
    """The networks' weights get no gradient inside the block: their loss is passed through, at a lower cost."""
    changed = [entry for network in networks for entry in network.parameters() if not entry.stop_gradient]
    for parameter in changed:
        parameter.stop_gradient = True
    try:
        yield
    finally:
        for parameter in changed:
            parameter.stop_gradient = False


@paddle.no_grad()
def ema(average, network, half_life_images: float, batch_size: int,
        statistics: Literal["copied", "kept"] = "copied") -> None:
    """Moves `average`'s weights towards `network`'s; the old value's share halves every `half_life_images` pictures.

    `batch_size` counts the pictures of a step over all processes. Buffers are copied, and so are untrained entries, the
    `statistics` of a batch norm, unless `average` is to keep its own. (Karras 2018 states the decay for one batch size;
    a half-life in pictures keeps the average the same for every batch size.)
    """
    share = 1.0 - (0.5 ** (batch_size / half_life_images) if half_life_images > 0 else 0.0)
    for slow, fast in zip(average.parameters(), network.parameters()):
        if not fast.stop_gradient:
            slow.set_value(slow + (fast - slow) * share)
        elif statistics == "copied":
            slow.set_value(fast)
    for slow, fast in zip(average.buffers(), network.buffers()):
        slow.set_value(fast)


def full_precision():
    """A block that computes in float32 under mixed precision: penalties that differentiate twice need it."""
    return paddle.amp.auto_cast(enable=False)


def linear_decay(rate: float, step: int, steps: int, start: float = 0.5) -> float:
    """`rate` until `start` (a fraction of `steps`), then in a straight line to 0 (CycleGAN, section 4)."""
    begin = start * steps
    if step < begin:
        return rate
    return rate * max(0.0, (steps - step) / max(steps - begin, 1))
