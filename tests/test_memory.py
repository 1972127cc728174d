"""What is freed while a network is opened goes back to the kernel; at other times it is kept for the next operator."""
import os
import subprocess
import sys

import pytest

from ppgan_apps import runtime

MEASURE = """
import ppgan_apps, numpy as np
from contextlib import nullcontext
from ppgan_apps import runtime

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 10**6

def left_behind(surroundings):
    before = megabytes()
    with surroundings:
        block = np.ones(25_000_000)                            # 200 MB
        del block
    return megabytes() - before
print(left_behind(runtime.returning_freed_memory()), left_behind(nullcontext()), left_behind(nullcontext()))
"""


def measured(**environment):
    given = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True,
                          env={**given, **environment})
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(not runtime.keeps_freed_memory() or not os.path.exists("/proc/self/statm"),
                    reason="the allocator is not glibc's, or is set by MALLOC_ variables")
def test_blocks_freed_while_a_network_is_opened_are_given_back():
    within, kept, used_again = measured()
    assert within < 50 and kept > 150 and used_again < 50      # the third takes what the second left
    assert max(measured(PPGAN_APPS_TUNE="0")) < 50             # nothing is kept, and the block sets nothing
