"""What a visitor's call may cost: the table of all bounds, each with its reason.

Measured on two cores of an AMD EPYC (2.6 GHz) with YuNet; processor times leave room for machines
a few times slower. To those of pictures, what a search in full takes is added, measured on JPEGs.
Memory is beyond an idle worker's. What a live frame or an explanation costs is bounded by
`fer.web.server.requests`: a JPEG of 1.6 megapixels and few scans, decoded in .1 s at most.

| job | needs at most | gets |
|---|---|---|
| header of a picture | .05 s, 540 MB (WebP) | `MEASURE` |
| picture of 16 megapixels | 2 s, 420 MB (a see-through WebP) | `PICTURE` |
| picture of 64 megapixels | 6 s, 1,630 MB (a see-through WebP) | `LARGE_PICTURE`, one at a time |
| reading a JPEG of 256 megapixels at half | 5 s, 1,800 MB (progressive, 4:4:4) | `LARGE_PICTURE` |
| reading a HEIC of 64 megapixels | 5 s, 660 MB | `LARGE_PICTURE` |
| reading a JPEG 2000, at 12 megapixels at most | 6 s, 270 MB | by its size in the file |
| reading a PNG of 63 megapixels of 16 bits in colour | 8 s, 1,260 MB | `LARGE_PICTURE` |
| header and first frame of a video | 1 s, 200 MB | `PROBE` |
| a second of video, 1920 x 1080 | 2.5 s; 8 s with 29 small faces | `VideoLimits.bound` |

No job may write a file larger than its bound says, 200 MB but for videos.
"""

from dataclasses import dataclass

from fer.worker import Bound

__all__ = [
    "IDLE_MB",
    "LARGE_PICTURE",
    "LARGE_PIXELS",
    "MEASURE",
    "N_LARGE_AT_WORK",
    "N_PICTURES_AT_WORK",
    "N_PROBES_AT_WORK",
    "N_VIDEOS_AT_WORK",
    "N_WORKERS",
    "PICTURE",
    "PROBE",
    "START",
    "VIDEO_PATIENCE_S",
    "VideoLimits",
    "picture_bound",
]

# The first use of detector and classifier.
START = Bound(cpu_s=30, wall_s=60, memory_mb=4000)
# A header is of some kilobytes; a comment of 50 MB in it is not worth reading. The decoder of WebP
# takes room for two pictures at once, .5 GB at 64 megapixels, and does not use it yet.
MEASURE = Bound(cpu_s=4, wall_s=20, memory_mb=700)
# Pillow has four bytes a pixel, whatever the file has, and needs several copies.
PICTURE = Bound(cpu_s=15, wall_s=60, memory_mb=800)
LARGE_PICTURE = Bound(cpu_s=30, wall_s=90, memory_mb=2000)
LARGE_PIXELS = 16_000_000
# The tables of 30 million samples that 60 kB may claim are 1.1 GB.
PROBE = Bound(cpu_s=15, wall_s=40, memory_mb=800)

# Two cores, two pictures at work; a large one waits for no small one, but for other large ones.
N_PICTURES_AT_WORK = 2
N_LARGE_AT_WORK = 1
# A video takes all cores, and minutes.
N_VIDEOS_AT_WORK = 1
N_PROBES_AT_WORK = 1

# Ready before anybody asks; each has 135 MB. Others are started when these are at work.
N_WORKERS = 2
# One that has grown beyond this is replaced after its job.
IDLE_MB = 500.0

# What cameras and phones record as a rule. A video may have as many pixels as one of this kind
# that lasts as long as videos may: 4K a quarter of the time.
_USUAL_PIXELS_PER_S = 1920 * 1080 * 30
_ANY_S = 1e6
_VIDEO_BASE_S = 60.0
# For each second of such a video: with a crowd of 116 in it, 7.7 s were measured on two cores.
# A long one may be refused at 30 looks.
_VIDEO_S_PER_S = 10.0
# Who waits for a video gives up after this. One video alone never takes as long.
VIDEO_PATIENCE_S = 1800.0
_MAX_VIDEO_WORK_S = VIDEO_PATIENCE_S - 100.0
# More than ten minutes at 1920 x 1080 have at 50 Mbit/s.
_VIDEO_FILE_MB = 4000.0
# Sixteen frames of 4096 x 4096 that a decoder may have to keep, and those in work.
_VIDEO_MB = 3000.0


def picture_bound(n_pixels: int) -> Bound:
    """Return the bound of the work on a picture with `n_pixels` pixels."""
    return LARGE_PICTURE if n_pixels > LARGE_PIXELS else PICTURE


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What the page takes of a video.

    Attributes:
        max_minutes: longest video; None for any length.
    """

    max_minutes: float | None

    @property
    def max_s(self) -> float | None:
        """Longest video in seconds; None for any length."""
        return None if self.max_minutes is None else 60 * self.max_minutes

    @property
    def max_pixels(self) -> float | None:
        """Pixels of all frames of a video together; None for any number."""
        return None if self.max_s is None else self.max_s * _USUAL_PIXELS_PER_S

    def bound(self, duration_s: float | None, n_pixels: float | None) -> Bound:
        """Return what the work on a video may take, by what its packets claim.

        Never as long as others wait in the queue, unless the operator takes videos of any length.

        Args:
            duration_s: of the video; None where unknown.
            n_pixels: of all its frames; None where unknown.
        """
        most = self.max_s
        if most is None:
            return Bound(_ANY_S, _ANY_S, _VIDEO_MB, _VIDEO_FILE_MB)
        usual_s = most if n_pixels is None else n_pixels / _USUAL_PIXELS_PER_S
        seconds = max(most if duration_s is None else duration_s, usual_s)
        work_s = min(_VIDEO_BASE_S + _VIDEO_S_PER_S * min(seconds, most), _MAX_VIDEO_WORK_S)
        return Bound(work_s, work_s, _VIDEO_MB, _VIDEO_FILE_MB)
