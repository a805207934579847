"""Values on the pipes between a worker and a process beside it: a pickle, and large bytes next to it, never copied into it.

Both ends are ours: what is unpickled was pickled by this program (never read frames from anybody else).
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, NamedTuple

from llmreq.limits import SIDE_FRAME_BYTES

HEAD = struct.Struct(">cI")
"""Tag, and how many parts follow: their sizes first, 8 bytes each."""

Tag = Literal[b"j", b"p", b"r", b"e"]
"""A job; what to take if the rest does not come; its result; its error."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """Many bytes that travel beside the pickle."""

    data: bytes = field(repr=False)

    def __reduce_ex__(self, _protocol: Any) -> tuple[type[Bulk], tuple[pickle.PickleBuffer]]:
        return Bulk, (pickle.PickleBuffer(self.data),)


class Frame(NamedTuple):
    """One value with its tag."""

    tag: bytes
    value: Any


class FrameError(Exception):
    """A frame that is too large, or none."""


def packed(tag: Tag, value: Any) -> list[bytes | memoryview]:
    """What to write, in order. Raises FrameError."""
    bulk: list[memoryview] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=lambda buffer: bulk.append(buffer.raw()))
    sizes = [len(head), *(part.nbytes for part in bulk)]
    _bounded(sizes)
    return [HEAD.pack(tag, len(sizes)) + struct.pack(f">{len(sizes)}Q", *sizes), head, *bulk]


def sizes_of(packed_sizes: bytes) -> tuple[int, ...]:
    """How long the parts are. Raises FrameError."""
    sizes = struct.unpack(f">{len(packed_sizes) // 8}Q", packed_sizes)
    _bounded(sizes)
    return sizes


def unpacked(tag: bytes, parts: Sequence[bytes]) -> Frame:
    """The value of a frame whose parts have come."""
    return Frame(tag, pickle.loads(parts[0], buffers=parts[1:]))  # noqa: S301 - our own other end


def read_frame(stream: BinaryIO) -> Frame | None:
    """The next frame, or None at the end of the stream."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    tag, count = HEAD.unpack(head)
    return unpacked(tag, [stream.read(size) for size in sizes_of(stream.read(8 * count))])


def write_frame(stream: BinaryIO, tag: Tag, value: Any) -> None:
    """Write one frame."""
    stream.writelines(packed(tag, value))
    stream.flush()


def _bounded(sizes: Sequence[int]) -> None:
    if sum(sizes) > SIDE_FRAME_BYTES:
        raise FrameError("too much for one frame")
