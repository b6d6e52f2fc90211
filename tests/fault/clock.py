"""A process whose wall clock can be set while it runs: a shim in front of the C library's, built when a test needs it.

libfaketime would do for Python, but not for redis-server, whose allocator reads the clock before it is set up.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.engine import need

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t none, *step = &none;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_STEP");
    int file = path ? open(path, O_RDONLY) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) step = page;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, which, now);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += *step;
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (out) *out = exact.tv_sec;
    return exact.tv_sec;
}
"""


class SteppedClock:
    """Seconds that the wall clock of whoever is started with `wrapper` is off by; `step` changes it at once."""

    def __init__(self, folder: Path) -> None:
        need("cc")
        source, library, self._file = folder / "clock.c", folder / "clock.so", folder / "clock.step"
        source.write_text(SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self.step(0)
        self.wrapper = ["env", f"LD_PRELOAD={library}", f"CLOCK_STEP={self._file}"]

    def step(self, seconds: int) -> None:
        """Be off by so much from now on."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))
