"""Frames between the processes inside a sandbox: 4 bytes of length (big endian), then JSON.

What is decided here: how much one frame may carry, and that a peer which breaks the format is gone for good.
Standard library only; nothing of a frame is interpreted here.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

MAX_FRAME = 8 << 20
_LENGTH = struct.Struct(">I")
_JSON = json.JSONDecoder()


class Broken(ConnectionError):
    """The peer closed the channel or sent what is no frame."""


class Channel:
    """One end of a stream socket as a sequence of JSON values. Not for use by two threads at once."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._receive = connection.recv
        self._send = connection.sendall
        self._pending = b""

    def send(self, value: Any) -> None:
        """Send one value. Broken if it is too large or the peer is gone."""
        self.send_text(json.dumps(value, separators=(",", ":")))

    def send_text(self, text: str) -> None:
        """Send JSON text as one frame."""
        body = text.encode()
        if len(body) > MAX_FRAME:
            raise Broken("a frame that is too large")
        try:
            self._send(_LENGTH.pack(len(body)) + body)
        except OSError as error:
            raise Broken(str(error)) from None

    def receive_text(self) -> str | None:
        """The JSON text of the next frame; None when the peer has closed the channel between two frames."""
        header = self._exactly(4)
        if header is None:
            return None
        (size,) = _LENGTH.unpack(header)
        if size > MAX_FRAME:
            raise Broken("a frame that is too large")
        body = self._exactly(size)
        if body is None:
            raise Broken("the peer closed the channel")
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise Broken("a frame that is no text") from None

    def receive(self) -> Any:
        """The next value from a trusted peer, or None at the end."""
        text = self.receive_text()
        return None if text is None else _JSON.decode(text)

    def _exactly(self, size: int) -> bytes | None:
        data = self._pending
        if len(data) < size:
            pieces = [data]
            have = len(data)
            while have < size:
                try:
                    piece = self._receive(max(1 << 16, min(size - have, 1 << 20)))
                except OSError as error:
                    raise Broken(str(error)) from None
                if not piece:
                    if have:
                        raise Broken("the peer closed the channel inside a frame")
                    return None
                pieces.append(piece)
                have += len(piece)
            data = b"".join(pieces)
        self._pending = data[size:]
        return data[:size]
