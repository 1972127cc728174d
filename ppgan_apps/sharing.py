"""How a step's batch is shared: among processes, and in a process among parts that are computed one after another.

Sample i of a batch belongs to share i % shares. Everyone draws the random numbers of the whole batch from one seed and
takes its own share of them, so the result of a step does not depend on how many shares there are. Shares are strided,
not contiguous, because StyleGAN2's groups for the minibatch standard deviation are: each group stays whole in a share.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import paddle


@dataclass(frozen=True)
class Sharing:
    """Which share of the batch is being computed."""

    rank: int = 0                       # of this process
    world: int = 1                      # processes
    accumulate: int = 1                 # parts that a process splits its samples into
    networks: tuple = ()                # whose buffers every part of an update starts with alike
    part: int | None = None             # the part at hand; None: all of the process's samples

    @property
    def shares(self) -> int:
        """Into how many shares the batch is cut at the moment."""
        return self.world if self.part is None else self.world * self.accumulate

    @property
    def number(self) -> int:
        """Which of them is at hand."""
        return self.rank if self.part is None else self.rank + self.world * self.part


# Set around a block, as paddle.no_grad is: recipes and networks need not hand it down to where numbers are drawn.
_CURRENT: ContextVar[Sharing | None] = ContextVar("sharing", default=None)


def current() -> Sharing:
    """The sharing of the block that runs; outside of any, one process that computes the batch whole."""
    return _CURRENT.get() or Sharing()


@contextmanager
def shared(sharing: Sharing):
    """A block whose draws, updates and means go by `sharing`."""
    token = _CURRENT.set(sharing)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def randn(shape: Sequence[int]):
    """Standard normal numbers for this share; shape[0] counts the share's samples."""
    return _share_of(paddle.randn, shape)


def rand(shape: Sequence[int]):
    """Numbers drawn evenly from [0, 1) for this share; shape[0] counts the share's samples."""
    return _share_of(paddle.rand, shape)


def _share_of(draw, shape: Sequence[int]):
    sharing = current()
    if sharing.shares == 1:
        return draw(list(shape))
    return draw([shape[0] * sharing.shares, *shape[1:]])[sharing.number::sharing.shares]


def dropout(x, share: float, training: bool = True, whole_maps: bool = False):
    """`x` [N, ...] with `share` of its values set to 0 and the others scaled up to keep the mean; in evaluation `x`.

    `whole_maps` drops feature maps [H, W] of x [N, C, H, W] as one. (Paddle's own would draw for this share alone.)
    """
    if not training or not share:
        return x
    shape = [*x.shape[:2], *([1] * (len(x.shape) - 2))] if whole_maps else x.shape
    kept = (rand(shape) >= share).astype(x.dtype) / (1.0 - share)
    return x * (kept.expand(x.shape) if whole_maps else kept)


class Dropout(paddle.nn.Layer):
    """`dropout` as a layer."""

    def __init__(self, share: float = 0.5):
        super().__init__()
        self.share = share

    def forward(self, x):
        return dropout(x, self.share, self.training)


def each_part(batch: dict, compute: Callable[[dict], object]) -> list:
    """`compute` of every part of the process's samples (tensors [N, ...]), one after another: a list of the results.

    Every part finds the random state and the networks' buffers as the first one found them, so that the parts together
    draw what the whole would, and spectral vectors are improved once a step. The running statistics of a batch norm
    end as the mean of what the parts made of them.
    """
    sharing, results = current(), []
    if sharing.accumulate == 1:
        return [compute(batch)]
    random_state, buffers, statistics = paddle.get_rng_state(), _Buffers(sharing.networks), []
    for part in range(sharing.accumulate):
        paddle.set_rng_state(random_state)
        buffers.rewind()
        with shared(replace(sharing, part=part)):
            results.append(compute({name: value[part::sharing.accumulate] for name, value in batch.items()}))
        statistics.append([tensor.clone() for tensor in buffers.statistics])
    for tensor, values in zip(buffers.statistics, zip(*statistics)):
        tensor.set_value(sum(values) / len(values))
    return results


def together(parts: Sequence):
    """The process's samples in their order, [N, ...], from those of its parts, [N / parts, ...] each."""
    return paddle.stack(list(parts), axis=1).flatten(0, 1) if len(parts) > 1 else parts[0]


class _Buffers:
    """What the forward passes of networks change in them, and how it was."""

    def __init__(self, networks):
        self.statistics = running_statistics(networks)
        self.tensors = [buffer for network in networks for buffer in network.buffers()] + self.statistics
        self.before = [tensor.clone() for tensor in self.tensors]

    def rewind(self) -> None:
        for tensor, before in zip(self.tensors, self.before):
            tensor.set_value(before)


def running_statistics(networks) -> list:
    """The running means and variances of all batch norms, which Paddle lists among the parameters."""
    kinds = (paddle.nn.BatchNorm1D, paddle.nn.BatchNorm2D, paddle.nn.BatchNorm3D, paddle.nn.BatchNorm)
    norms = [layer for network in networks for layer in network.sublayers() if isinstance(layer, kinds)]
    return [tensor for norm in norms for tensor in (norm._mean, norm._variance)]


@paddle.no_grad()
def mean_over_processes(tensor):
    """The mean of every process's `tensor`, of one shape; changes it in place where there are several."""
    world = current().world
    if world > 1:
        # A gradient may be a view with other strides, such as that of a transposed weight, which cannot be sent.
        whole = tensor if tensor.is_contiguous() else tensor.contiguous()
        paddle.distributed.all_reduce(whole)
        whole.scale_(1.0 / world)
        if whole is not tensor:
            paddle.assign(whole, tensor)
    return tensor


@paddle.no_grad()
def mean_gradients(parameters) -> None:
    """Each parameter's gradient becomes its mean over the processes.

    They travel as one tensor for each precision: every message waits for every process, and on a CPU a hundred small
    ones took as long as the step itself.
    """
    if current().world == 1:
        return
    alike: dict = {}
    for parameter in parameters:
        if parameter.grad is not None:
            alike.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in alike.values():
        mean = mean_over_processes(paddle.concat([gradient.reshape([-1]) for gradient in gradients]))
        for gradient, values in zip(gradients, mean.split([gradient.size for gradient in gradients]), strict=True):
            paddle.assign(values.reshape(gradient.shape), gradient)


@paddle.no_grad()
def gather(samples):
    """The whole batch in its order, [N, ...], from every process's own samples [N / processes, ...]."""
    world = current().world
    if world == 1:
        return samples
    shares: list = []
    paddle.distributed.all_gather(shares, samples.contiguous())
    return together(shares)


def own(samples):
    """This process's samples [N / processes, ...] of a whole batch [N, ...]: the inverse of `gather`."""
    sharing = current()
    return samples[sharing.rank::sharing.world] if sharing.world > 1 else samples
