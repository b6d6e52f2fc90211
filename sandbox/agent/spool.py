"""Frames of the host, and the files that carry what items are made of.

What is decided here: **no byte of an item ever stays in the agent's memory.** Every run is a fork of the agent, so
whatever the agent held, a later program could find in its own memory: hidden tests, inputs, the output of another
response that was right. So a frame is a small JSON header (sizes, limits, statuses) followed by blobs, and blobs go
between the host's stream and anonymous files through one buffer, which is zeroed after each use.

A frame: 4 bytes of length (big endian), a JSON object, then as many bytes as the object's `blob` says.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
from typing import Any

MAX_HEADER = 1 << 20
_SIZE = 1 << 16
_buffer = bytearray(_SIZE)
view = memoryview(_buffer)
_zeros = memoryview(bytes(_SIZE))
_LENGTH = struct.Struct(">I")
_NOEXEC_SEAL = 8
_ADD_SEALS, _SEAL_SEAL = 1033, 1


def zero(count: int) -> None:
    """Forget what the first `count` bytes of the buffer hold."""
    view[:count] = _zeros[:count]


class HostGone(Exception):
    """The host closed the stream or broke the protocol: the agent ends."""


def anonymous_file() -> int:
    """A descriptor of a file without a name, appended to by whoever writes it, empty at first.

    Readable and writable for whoever holds the descriptor, also through /dev/stdin and /dev/stdout.
    """
    try:
        fd = os.memfd_create("spool", os.MFD_CLOEXEC | _NOEXEC_SEAL)
    except OSError:  # an older kernel, or a filter that allows no memfd
        path = f"/run/spool-{os.getpid()}-{os.urandom(8).hex()}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        os.unlink(path)
    else:
        # Whoever holds the descriptor could seal it against later runs, if this didn't come first.
        fcntl.fcntl(fd, _ADD_SEALS, _SEAL_SEAL)
    os.fchmod(fd, 0o666)
    fd = high(fd)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    return fd


def high(fd: int) -> int:
    """The same file under a number that no run needs."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 32)
    os.close(fd)
    return moved


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets. High: a child unwinds the agent's frames, and their sockets close their numbers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return socket.socket(fileno=high(ours.detach())), socket.socket(fileno=high(theirs.detach()))


def clear(fd: int) -> None:
    """Make the file empty, and stand at its start."""
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it. HostGone if nobody reads any more."""
    try:
        sent = os.write(fd, data)
        while sent < len(data):
            sent += os.write(fd, data[sent:])
    except (BrokenPipeError, ConnectionError) as error:
        raise HostGone from error


def take(source: int, target: int, count: int) -> None:
    """Move `count` bytes of a stream to a file. HostGone if the stream ends before."""
    while count > 0:
        got = os.readv(source, [view[: min(count, _SIZE)]])
        if not got:
            raise HostGone
        write_all(target, view[:got])
        view[:got] = _zeros[:got]
        count -= got


def copy(source: int, start: int, count: int, target: int) -> int:
    """Copy up to `count` bytes of a file from `start` on; returns how many there were."""
    done = 0
    while done < count:
        got = os.preadv(source, [view[: min(count - done, _SIZE)]], start + done)
        if not got:
            break
        write_all(target, view[:got])
        view[:got] = _zeros[:got]
        done += got
    return done


def head(fd: int, count: int) -> bytes:
    """The first bytes of a file: for comparing with a known beginning only."""
    return os.pread(fd, count, 0)


def tail_has(fd: int, size: int, needles: tuple[bytes, ...]) -> bool:
    """Whether the last 2 kB of a file hold one of the texts."""
    got = os.preadv(fd, [view[:2048]], max(0, size - 2048))
    found = any(_buffer.find(needle, 0, got) >= 0 for needle in needles)
    view[:got] = _zeros[:got]
    return found


def read_header(fd: int) -> dict[str, Any]:
    """The next frame's header; the blob is still in the stream. HostGone at the end of the stream."""
    (size,) = _LENGTH.unpack(_exactly(fd, 4))
    if size > MAX_HEADER:
        raise HostGone
    header = json.loads(_exactly(fd, size))
    if not isinstance(header, dict):
        raise HostGone
    return header


def _exactly(fd: int, size: int) -> bytes:
    data = os.read(fd, size)
    while len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            raise HostGone
        data += more
    return data


def send_header(fd: int, header: dict[str, Any]) -> None:
    """Send a header alone, as it is."""
    text = json.dumps(header, separators=(",", ":")).encode()
    write_all(fd, _LENGTH.pack(len(text)) + text)


def write_frame(fd: int, header: dict[str, Any], blob: int = -1, size: int = 0) -> None:
    """Send a header, and the first `size` bytes of the file `blob` behind it."""
    send_header(fd, header | {"blob": size})
    if size:
        copy(blob, 0, size, fd)
