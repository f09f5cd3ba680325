import platform
import subprocess
import sys

import pytest

_COUNT = """
import resource, sys
from train.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def fill():
    for _ in range(8):
        bytearray(b"1") * 2**25

fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_memory_is_asked_for_once():
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", _COUNT, how]))
        for how in ("free", "keep")
    }
    assert faults["free"] > 1000
    assert faults["keep"] < 100
