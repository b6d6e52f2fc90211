"""The containers' seccomp profile as a program for the kernel, where no container engine does that.

What is decided here: libseccomp translates (it is there wherever systemd, apt or an engine is), so that one list,
`sandbox/seccomp.json` in the engines' format, holds for every adapter. Names that this machine's kernel or
architecture doesn't know are left out: what isn't allowed is refused.
"""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from typing import Any

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_COMPARE = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}


class _Argument(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint),
        ("compare", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def load() -> ctypes.CDLL:
    """The library. OSError if it isn't installed."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Argument),
    ]
    return library


def compile_profile(profile: Path) -> bytes:
    """The BPF program of a profile in the engines' format. OSError without libseccomp, ValueError if it's no profile."""
    rules: dict[str, Any] = json.loads(profile.read_text())
    library = load()
    context = library.seccomp_init(_action(rules["defaultAction"], rules.get("defaultErrnoRet", 1)))
    if not context:
        raise OSError("libseccomp gives no filter")
    try:
        for rule in rules["syscalls"]:
            action = _action(rule["action"], rule.get("errnoRet", 1))
            compared = [
                _Argument(
                    part["index"],
                    _COMPARE[part["op"]],
                    part["value"] & (1 << 64) - 1,
                    part.get("valueTwo", 0),
                )
                for part in rule.get("args") or ()
            ]
            array = (_Argument * len(compared))(*compared)
            for name in rule["names"]:
                number = library.seccomp_syscall_resolve_name(name.encode())
                if number < 0:
                    continue
                failed = library.seccomp_rule_add_array(context, action, number, len(compared), array)
                if failed:
                    raise ValueError(f"{profile.name}: rule for {name}: {os.strerror(-failed)}")
        fd = os.memfd_create("seccomp")
        try:
            if library.seccomp_export_bpf(context, fd):
                raise OSError("libseccomp can't export the filter")
            return os.pread(fd, 1 << 20, 0)
        finally:
            os.close(fd)
    finally:
        library.seccomp_release(context)


def _action(name: str, number: int) -> int:
    if name == "SCMP_ACT_ALLOW":
        return _ALLOW
    if name == "SCMP_ACT_ERRNO":
        return _ERRNO | number
    raise ValueError(f"the seccomp profile uses {name}, which isn't ALLOW or ERRNO")
