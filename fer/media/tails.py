"""Whether an MPEG stream breaks off: it tells no length, so its last bytes must say.

Source: ISO/IEC 13818-1, 2.4.3 (packets of a transport stream) and 2.5.3 (packs of a program
stream).
"""

from pathlib import Path

__all__ = ["ends_midway"]

_SYNC = 0x47
_PACKET_BYTES = 188
# Distance of transport packets: plain, with the time codes of Blu-ray and AVCHD, with parity.
_STEPS = (188, 192, 204)
_N_SYNC = 5  # so many in a row are no chance
_TAIL_BYTES = 1_000_000
_START = b"\x00\x00\x01"
_PACK, _END = 0xBA, 0xB9


def ends_midway(path: Path, form: str) -> bool:
    """Whether the last packet of an MPEG file, or of one of its streams, is incomplete.

    Args:
        path: of the file.
        form: FFmpeg's name of its format; of others than "mpegts" and "mpeg" nothing is known.
    """
    if form not in ("mpegts", "mpeg"):
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        tail = file.read()
    return _transport_is_cut(tail) if form == "mpegts" else _program_is_cut(tail)


def _transport_is_cut(tail: bytes) -> bool:
    for step in _STEPS:
        for last in range(len(tail) - 1, max(len(tail) - 1 - step, _N_SYNC * step), -1):
            if all(tail[last - i * step] == _SYNC for i in range(_N_SYNC)):
                return last + _PACKET_BYTES > len(tail) or _lacks_payload(tail, last, step)
    return False


def _lacks_payload(tail: bytes, last: int, step: int) -> bool:
    """Whether a stream ends with less than its last PES packet claims."""
    missing: dict[int, int] = {}  # bytes, by the id of the stream
    for place in range(last % step, last + 1, step):
        packet = tail[place : place + _PACKET_BYTES]
        if packet[0] != _SYNC or not packet[3] & 0x10:  # no payload
            continue
        stream = (packet[1] & 0x1F) << 8 | packet[2]
        payload = packet[5 + packet[4] if packet[3] & 0x20 else 4 :]
        if packet[1] & 0x40:  # a new one begins
            missing.pop(stream, None)
            length = int.from_bytes(payload[4:6], "big")
            if payload[:3] == _START and length:
                missing[stream] = 6 + length - len(payload)
        elif stream in missing:
            missing[stream] -= len(payload)
    return any(n_bytes > 0 for n_bytes in missing.values())


def _program_is_cut(tail: bytes) -> bool:
    place = tail.rfind(_START + bytes([_PACK]))
    if place < 0:
        return False
    while place + 4 <= len(tail):
        kind = tail[place + 3]
        if tail[place : place + 3] != _START or kind < _END:
            return False
        head = tail[place : place + 14]
        if kind == _END:
            place += 4
        elif kind == _PACK and len(head) > 4 and head[4] >> 6 == 0:  # of MPEG-1
            place += 12
        elif kind == _PACK:
            place += 14 + (head[13] & 7 if len(head) == 14 else 0)
        else:
            place += 6 + int.from_bytes(head[4:6], "big")
    return place > len(tail) or any(tail[place:])
