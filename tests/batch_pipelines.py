"""Pipelines for the processes of a batch, which import this module and no other of the tests."""

import multiprocessing
import os
import signal
import sys
import time

import numpy as np

from fer import Faces, Pipeline, load_classifier

# The gray value of the first pixel says what happens to a picture.
NO_FACE, TWO_FACES, KILLS, EXITS, HANGS, RAISES = 1, 2, 3, 4, 5, 6


class Marked:
    """Takes the whole picture as one face, unless its first pixel says otherwise."""

    title = "marked"

    def __call__(self, frame):
        height, width = frame.shape[:2]
        mark = frame[0, 0, 0]
        if mark == KILLS:
            os.kill(os.getpid(), signal.SIGKILL)
        if mark == EXITS:
            os._exit(3)
        if mark == HANGS:
            time.sleep(600)
        if mark == RAISES:
            raise RuntimeError("a decoder gave up")
        boxes = [(0, 0, width, height), (0, 0, width / 2, height / 2)]
        boxes = boxes[: {NO_FACE: 0, TWO_FACES: 2}.get(mark, 1)]
        xyxy = np.array(boxes, np.float32).reshape(-1, 4)
        return Faces(xyxy=xyxy, score=np.full(len(boxes), 0.9, np.float32))


class Slow(Marked):
    """A few milliseconds a picture, so that a test can stop it in the middle."""

    def __call__(self, frame):
        time.sleep(0.005)
        return super().__call__(frame)


class Elsewhere(Marked):
    """Another detector than the first process had."""

    title = "marked" if multiprocessing.parent_process() is None else "another"


def marked():
    return Pipeline(Marked(), load_classifier())


def slow():
    return Pipeline(Slow(), load_classifier())


def elsewhere():
    return Pipeline(Elsewhere(), load_classifier())


def renamed():
    pipeline = marked()
    pipeline.detector.title = "renamed"
    return pipeline


class DiesOnArrival:
    """Cannot be unpickled alive."""

    def __call__(self):
        return marked()

    def __reduce__(self):
        return os._exit, (7,)


if __name__ == "__main__":
    from fer.batch import analyse_folder

    analyse_folder(sys.argv[1], sys.argv[2], make_pipeline=slow, n_workers=2)
