"""Files compressed with bgzip: gzip in blocks, which can be read at random places (SAM specification, section 4.1)."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from pathlib import Path

import numpy as np

from scget._errors import InputError

_LAST = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")  # empty block at the end of each file
_BLOCK = 1 << 16  # bytes of one block, packed or not


def is_bgzip(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is compressed with bgzip: the extra field of each block begins with "BC"."""
    return len(head) >= 14 and head[:2] == b"\x1f\x8b" and bool(head[3] & 4) and head[12:14] == b"BC"


def check_whole(path: Path, error: type[InputError] = InputError) -> None:
    """Refuse a file compressed with bgzip that lacks the block which ends every such file: it has been cut."""
    with open(path, "rb") as file:
        if not is_bgzip(file.read(18)):
            return
        file.seek(max(0, path.stat().st_size - len(_LAST)))
        if file.read() == _LAST:
            return
    raise error(
        f"'{path}' is not whole: the block that ends each file compressed with bgzip is missing. Copy or fetch it again; "
        "if it is whole, as with a program that leaves that block out, pack it anew: gunzip, then bgzip."
    )


def read_at(path: Path, offset: int, n: int) -> bytes:
    """Read ``n`` bytes of the unpacked content, fewer at its end; the index ``.gzi`` of a packed file lies beside it.

    Raises
    ------
    OSError, ValueError, zlib.error
        If file and index do not fit each other.
    """
    with open(path, "rb") as file:
        if not is_bgzip(file.read(18)):
            file.seek(offset)
            return file.read(n)
        pairs = np.fromfile(f"{path}.gzi", dtype="<u8", offset=8).reshape(-1, 2).tolist()
        places = [(0, 0), *((unpacked, packed) for packed, unpacked in pairs)]
        begin, packed = places[bisect_right(places, (offset, 1 << 63)) - 1]
        file.seek(packed)
        buffer, content = file.read(_BLOCK + n), b""
        while buffer and len(content) < offset - begin + n:
            unpack = zlib.decompressobj(31)
            content += unpack.decompress(buffer)
            buffer = unpack.unused_data + file.read(_BLOCK) if unpack.eof else b""
        return content[offset - begin :][:n]
