"""frame -> detect -> crop -> classify -> track: one call for everything that has a frame."""

import itertools
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fer.check import check_callable, check_number, check_type
from fer.classify import Classifier
from fer.crop import crop_faces
from fer.detect import Detector, QuickDetector
from fer.errors import FerError, ImageError, InputError, describe_failure
from fer.hub import load_classifier, load_detector
from fer.image import PictureSource, read_image
from fer.media.reader import read_frames
from fer.pool import prefetch
from fer.resting import Baseline, compare, find_shift
from fer.search import is_small
from fer.track import MAX_TRACKS, TrackState, step
from fer.types import Faces, FrameResult, ModelConfig, check_frame

__all__ = ["FullLooks", "Pipeline"]

log = logging.getLogger(__name__)

# Every tenth frame of a stream without a face is searched in full.
_N_GLANCES = 10
# A video is searched in full twice a second; and every frame until a second after a face that is
# so small that one quick look may miss it.
_FULL_EVERY_S = 0.5
_FULL_FOR_S = 1.0


class Pipeline:
    """Finds every face of a frame and the probabilities of its apparent expression.

    Safe to call from several threads if its parts are; those of this package are.

    Args:
        detector: frame -> Faces.
        classifier: crops -> probabilities; its config says how faces are cropped.
        votes: give `faces.votes`, too: how the votes of ten people would be shared among
            `FrameResult.vote_names`.

    Raises:
        ConfigError: `votes`, and the network has no head for them.
    """

    def __init__(self, detector: Detector, classifier: Classifier, votes: bool = False) -> None:
        check_callable("detector", detector, "a detector, frame -> Faces")
        check_callable("classifier", classifier, "a classifier, crops -> probabilities")
        check_type("classifier.config", getattr(classifier, "config", None), ModelConfig)
        check_type("votes", votes, bool)
        if votes:
            classifier.config.head("votes")  # raises where there is none
        self.detector = detector
        self.classifier = classifier
        self.votes = votes

    @classmethod
    def load(
        cls,
        model: str | None = None,
        revision: str | None = None,
        detector: str | None = None,
        *,
        votes: bool = False,
        decision: str | None = None,
        min_face_px: float | None = None,
        on_fallback: Callable[[str], None] = log.warning,
    ) -> Self:
        """Return a pipeline of these weights and this face detector.

        Args:
            model: "user/name" on the Hub, or a folder that `python -m train` wrote; the bundled
                weights when None.
            revision: commit, branch or tag of a repository.
            detector: see `fer.hub.load_detector`; the best available when None.
            votes: see `Pipeline`.
            decision: see `fer.hub.load_classifier`.
            min_face_px: the smallest faces to search for, in pixels; see `fer.search.search`.
            on_fallback: called with the reason why a better detector is unavailable.

        Raises:
            HubError: the repository, or the detector that was named, is unavailable.
            ConfigError: the weights are unusable, or have no head for votes, or no such decision.
            InputError: there is no such model, detector or size.
            DetectorError: the detector cannot be built.
        """
        finder = load_detector(detector, on_fallback, min_face_px)
        return cls(finder, load_classifier(model, revision, decision), votes)

    @classmethod
    def default(cls, **options: Any) -> Self:
        """Return `load` with the bundled weights; `options` are those of `load`."""
        return cls.load(**options)

    @classmethod
    def from_hub(cls, repo_id: str, revision: str | None = None, **options: Any) -> Self:
        """Return `load` with the weights of a repository; `options` are those of `load`."""
        return cls.load(repo_id, revision, **options)

    def __call__(self, frame: NDArray[np.uint8]) -> FrameResult:
        """Analyse one frame, which is searched in full.

        Args:
            frame: (H, W, 3) uint8 RGB.

        Returns:
            All faces with `probs`, and with `votes` where the pipeline gives them; none is normal.

        Raises:
            InputError: `frame` is no frame.
        """
        return self._analyse(frame, None, full=True)

    def glance(self, frame: NDArray[np.uint8]) -> FrameResult:
        """Analyse one frame after one quick look, as calling it does after a search.

        Args:
            frame: as for calling it.

        Returns:
            As calling it does; small faces of a frame above 640 pixels are lost.

        Raises:
            InputError: `frame` is no frame.
        """
        return self._analyse(frame, None, full=False)

    def _find(self, image: NDArray[np.uint8], full: bool) -> Faces:
        if not full and isinstance(self.detector, QuickDetector):
            return self.detector.glance(image)
        return self.detector(image)

    def _analyse(self, frame: NDArray[np.uint8], max_faces: int | None, full: bool) -> FrameResult:
        image = check_frame(frame)
        config = self.classifier.config
        marks = [time.perf_counter()]
        faces = self._find(image, full)
        check_type("what the detector gives", faces, Faces)
        faces = faces[:max_faces]
        marks.append(time.perf_counter())
        crops = crop_faces(image, faces, config)
        marks.append(time.perf_counter())
        probs, votes = (
            self.classifier.with_votes(crops) if self.votes else (self.classifier(crops), None)
        )
        marks.append(time.perf_counter())
        spent = [1000 * (after - before) for before, after in itertools.pairwise(marks)]
        return FrameResult(
            faces=faces.with_probs(probs, votes),
            class_names=config.class_names,
            frame_size=(image.shape[1], image.shape[0]),
            uncertain_below=config.uncertain_below,
            timing_ms=dict(zip(("detect", "crop", "classify"), spent, strict=True)),
            vote_names=config.vote_names if self.votes else (),
        )

    def track(
        self,
        frame: NDArray[np.uint8],
        state: TrackState | None,
        time_s: float,
        *,
        baseline: Baseline | None = None,
    ) -> tuple[TrackState, FrameResult]:
        """Analyse one frame of a stream: ids that stay, probabilities smoothed over time.

        Votes are those of the frame alone, not smoothed. Each frame gets one quick look;
        every tenth without a face is searched in full.

        Args:
            frame: (H, W, 3) uint8 RGB.
            state: what the frame before returned; None at first.
            time_s: when the frame was taken, in seconds of one clock.
            baseline: a resting face, with which the face of its track is compared; other faces
                are not. The state stays as it is without.

        Returns:
            The state for the next frame, and the result: at most `fer.track.MAX_TRACKS`
            faces, the best detected; with a baseline they have `raw_probs`, too.

        Raises:
            InputError: `frame` is no frame, `time_s` no time, or `state` or `baseline` is none or
                one of another model.
            ConfigError: `baseline`, and the model has no `neutral_logits`.
        """
        check_type("state", state, TrackState, None)
        check_number("time_s", time_s)
        self.check_baseline(baseline)
        full = state is not None and state.n_empty % _N_GLANCES == _N_GLANCES - 1
        found = self._analyse(frame, MAX_TRACKS, full)
        return self.follow(found, state, time_s, baseline=baseline)

    def check_baseline(self, baseline: Baseline | None) -> None:
        """Check before the work that a resting face can be compared with; None can.

        Raises:
            InputError: it is none, or of another model.
            ConfigError: the model has no `neutral_logits`.
        """
        if baseline is not None:
            find_shift(baseline, self.classifier.config)

    def follow(
        self,
        result: FrameResult,
        state: TrackState | None,
        time_s: float,
        *,
        baseline: Baseline | None = None,
    ) -> tuple[TrackState, FrameResult]:
        """Do the second half of `track`, for frames that were analysed apart from each other.

        Args:
            result: of the frame.
            state: as for `track`.
            time_s: as for `track`.
            baseline: as for `track`.

        Returns:
            As `track` does.

        Raises:
            InputError: `result` is no result, `time_s` no time, or `state` or `baseline` is none
                or one of another model.
            ConfigError: `baseline`, and the model has no `neutral_logits`.
        """
        check_type("result", result, FrameResult)
        check_type("state", state, TrackState, None)
        start = time.perf_counter()
        before = TrackState() if state is None else state
        faces = result.faces[:MAX_TRACKS]
        after, faces = step(before, faces, time_s=time_s, frame_width=result.frame_size[0])
        if baseline is not None:
            faces = compare(faces, baseline, self.classifier.config)
        spent = 1000 * (time.perf_counter() - start)
        timing_ms = {**result.timing_ms, "track": spent}
        return after, replace(result, faces=faces, timing_ms=timing_ms)

    def video(
        self, path: Path | str, rate: float | None = None, *, baseline: Baseline | None = None
    ) -> Iterator[tuple[float, FrameResult]]:
        """Analyse the frames of a video file, one after the other; memory stays flat.

        `fer.video.analyse_video` also writes an annotated video and tables, and sums up.

        Args:
            path: the file.
            rate: at most this many frames per second of video; every frame when None.
            baseline: as for `track`.

        Yields:
            When the frame is shown, in seconds since the first, and its result as `track`
            returns it.

        Raises:
            VideoError: no readable video, or one too large.
            InputError: `rate` is not positive, or `baseline` is none or of another model.
            ConfigError: `baseline`, and the model has no `neutral_logits`.
        """
        self.check_baseline(baseline)
        state: TrackState | None = None
        looks = FullLooks()
        for frame in read_frames(path, rate):
            found = self._analyse(frame.frame, MAX_TRACKS, looks(frame.time_s))
            looks.see(found, frame.time_s)
            state, result = self.follow(found, state, frame.time_s, baseline=baseline)
            yield frame.time_s, result

    def batch(self, sources: Iterable[PictureSource]) -> Iterator[FrameResult | FerError]:
        """Analyse many pictures on all cores, in the order in which they come.

        Only a few are read ahead, so `sources` may be endless.

        Args:
            sources: pictures, each as `fer.read_image` takes it: a path, bytes, an open file, a
                Pillow image or a frame (H, W, 3) uint8 RGB.

        Yields:
            The result of each picture; of one that cannot be used the error, so that one
            bad file ends no batch. What a library raised is the cause of that error.

        Raises:
            InputError: `sources` is one picture rather than several.
        """
        if isinstance(sources, str | bytes | Path | Mapping | np.ndarray) or not isinstance(
            sources, Iterable
        ):
            raise InputError(
                f"`sources` must be a list of pictures. Received: {type(sources).__name__}"
            )
        n_threads = os.cpu_count() or 1
        yield from prefetch(self._read, sources, n_threads, 2 * n_threads)

    def _read(self, source: PictureSource) -> FrameResult | FerError:
        try:
            return self(read_image(source))
        except FerError as error:
            return error
        except Exception as error:
            failure = ImageError(describe_failure(error, "the picture"))
            failure.__cause__ = error
            return failure


class FullLooks:
    """Says which frames of a video are searched in full.

    That is one twice a second; and where small faces are seen, which one quick look may lose, all
    until a second after the last of them.
    """

    def __init__(self) -> None:
        self._next_s = self._until_s = -math.inf

    def __call__(self, time_s: float) -> bool:
        """Whether the frame that is shown at `time_s`, in seconds, is searched in full."""
        if time_s < self._next_s and time_s > self._until_s:
            return False
        self._next_s = time_s + _FULL_EVERY_S
        return True

    def see(self, result: FrameResult, time_s: float) -> None:
        """Note the result of a frame; to be called in the order of the frames."""
        if is_small(result.faces, *result.frame_size):
            self._until_s = time_s + _FULL_FOR_S
