"""Several training processes under paddle.distributed.launch: joining, agreeing and waiting for each other."""
from __future__ import annotations

import os
from typing import Any

from .config import RunConfig
from .errors import ConfigError


def join(run: RunConfig) -> tuple[int, int]:
    """(rank, number of processes) under paddle.distributed.launch, once all are there; (0, 1) alone.

    Raises ConfigError when the batch cannot be shared equally among them and their parts.
    """
    world = int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
    if run.batch_size % (world * run.accumulate):
        among = f"the {world} processes" if world > 1 else ""
        parts = f"accumulate ({run.accumulate})" if run.accumulate > 1 else ""
        raise ConfigError(f"batch_size is {run.batch_size}, should be a multiple of "
                          f"{' times '.join(filter(None, (among, parts)))}: the shares must be equal.")
    if world == 1:
        return 0, 1
    import paddle.distributed as distributed
    if not distributed.is_initialized():
        distributed.init_parallel_env()
    return distributed.get_rank(), distributed.get_world_size()


def check_agreement(first_step: int, world: int) -> None:
    """Raises ConfigError when the processes do not all start at `first_step`: some see another run folder."""
    seen = _all_of(first_step, world)
    if len(set(seen)) > 1:
        raise ConfigError(f"The processes would start at the steps {', '.join(map(str, seen))}: "
                          f"put the run folder where every machine sees it.")


def any_of(condition: bool, world: int) -> bool:
    """Whether `condition` holds in any of the processes."""
    return any(_all_of(int(condition), world))


class Launcher:
    """The launcher that started this process; Paddle's leaves its gloo processes behind when SIGTERM ends it."""

    def __init__(self, world: int):
        self._parent = os.getppid() if world > 1 else None

    def is_gone(self) -> bool:
        """Whether it ended before this process did; never for a process alone."""
        return self._parent is not None and os.getppid() != self._parent


def wait_for_all(world: int) -> None:
    """Returns when every process has come here."""
    _all_of(0, world)


def _all_of(number: int, world: int) -> list[int]:
    """Every process's `number`, in the order of their ranks."""
    if world == 1:
        return [number]
    import paddle
    import paddle.distributed as distributed
    numbers: list[Any] = []
    distributed.all_gather(numbers, paddle.to_tensor([number], dtype="int64"))
    return [int(entry.item()) for entry in numbers]
