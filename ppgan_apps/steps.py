"""The verbs that a training step is written with: update, frozen, ema, full_precision, linear_decay."""
from __future__ import annotations

from contextlib import contextmanager

import paddle


def update(optimizer, loss) -> None:
    """One step of `optimizer` down the gradient of `loss`; with several processes the gradients are averaged first."""
    optimizer.clear_grad()
    loss.backward()
    _average_over_processes(optimizer)
    optimizer.step()
    optimizer.clear_grad()


def _average_over_processes(optimizer) -> None:
    import paddle.distributed as distributed
    world = distributed.get_world_size()
    if world == 1:
        return
    for parameter in optimizer._parameter_list:
        if parameter.grad is not None:
            distributed.all_reduce(parameter.grad)
            parameter.grad.scale_(1.0 / world)


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
def ema(average, network, half_life_images: float, batch_size: int) -> None:
    """Moves `average`'s weights towards `network`'s; the old value's share halves every `half_life_images` pictures.

    Buffers and untrained entries (statistics of a batch norm) are copied. (Karras 2018 states the decay for one batch
    size; a half-life in pictures keeps the average the same for every batch size.)
    """
    share = 1.0 - (0.5 ** (batch_size / half_life_images) if half_life_images > 0 else 0.0)
    for slow, fast in zip(average.parameters(), network.parameters()):
        slow.set_value(fast if fast.stop_gradient else slow + (fast - slow) * share)
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
