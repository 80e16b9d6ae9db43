"""Memory that a training has freed is kept for its next step, rather than given back.

A network on the processor takes and frees hundreds of large arrays a step. The C library hands
each back to the system at once, which then fills new pages with zeros: up to a sixth of the time
of a step. A process that does nothing but train does better to keep them.
"""

from __future__ import annotations

import ctypes
import platform

# Parameters of mallopt in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Beyond any array that is freed a step, and the largest numbers that are taken.
_NEVER = 2**31 - 1
_LARGEST_MAPPED = (2**30, 2**25)


def keep_freed_memory() -> bool:
    """Keep what is freed from now on in this process; return whether that can be done here.

    Only the GNU C library has a switch for it. It is meant for processes of their own.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER)) and any(
        mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST_MAPPED
    )
