"""Two networks, compared image by image."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from fer.classify import Classifier
from fer.errors import InputError
from fer.types import Decision, Head
from tests.conftest import make_config

pytest.importorskip("datasets")
pytest.importorskip("scipy")

N = 12


def make_network(right, config=None):
    """A network that is right on some of N images; all are of the second class."""
    answers = np.zeros((N, 2), np.float32)
    answers[:, 0] = 1
    answers[list(right), 1] = 2
    return Classifier(
        lambda pixels: answers[pixels[:, 0, 0, 0].astype(int)], config or make_config()
    )


def make_split(twins=()):
    from train.data.split import Split

    images = np.broadcast_to(np.arange(N, dtype=np.uint8)[:, None, None, None], (N, 16, 16, 1))
    twin = np.isin(np.arange(N), list(twins))
    return Split(images, np.ones(N, int), twin, None, make_config().class_names, "00")


def test_the_images_on_which_only_one_is_right_are_counted():
    from train.measure.paired import compare, format_comparison

    rows = compare(make_network(range(9)), make_network([0]), make_split(twins=[0, 11]))
    (row,) = rows
    assert (row["n_images"], row["only_one"], row["only_other"]) == (10, 8, 0)
    assert (row["top1"], row["other_top1"]) == (80.0, 0.0)
    assert row["p"] == pytest.approx(2 / 2**8)
    text = format_comparison(rows)
    assert "80.00 % against 0.00 % of 10 images" in text
    assert "p 0.008" in text


def test_networks_that_differ_nowhere_are_equally_good():
    from train.measure.paired import compare

    (row,) = compare(make_network([1, 2]), make_network([1, 2]), make_split())
    assert (row["only_one"], row["only_other"], row["p"]) == (0, 0, 1.0)


def test_each_decision_is_compared_with_its_own_or_with_the_one_that_is_served():
    from train.measure.paired import compare

    names = make_config().class_names
    decisions = {"balanced": Decision(bias=(0.0, 9.0)), "dataset": Decision(bias=(0.0, 0.0))}
    heads = {"labels": Head(class_names=names, decisions=decisions)}
    config = replace(make_config(), heads=heads, decision="balanced", version=2)
    both, plain = make_network([3], config), make_network([3, 4])
    rows = {row["decision"]: row for row in compare(both, plain, make_split())}
    assert {name: row["against"] for name, row in rows.items()} == {
        "balanced": "dataset",
        "dataset": "dataset",
    }
    assert (rows["balanced"]["only_one"], rows["balanced"]["only_other"]) == (10, 0)
    assert (rows["dataset"]["only_one"], rows["dataset"]["only_other"]) == (0, 1)
    (row,) = compare(plain, both, make_split())
    assert (row["decision"], row["against"], row["only_one"]) == ("dataset", "dataset", 1)


def test_the_votes_are_compared_where_most_people_chose_one_class():
    from train.measure.paired import compare

    names = make_config().class_names
    head = Head(class_names=names, decisions={"dataset": Decision(bias=(0.0, 0.0))})
    config = replace(make_config(), heads={"labels": head, "votes": head}, version=2)
    networks = []
    for right in (range(6), [0]):
        plain = make_network(right)
        networks.append(
            Classifier(
                lambda pixels, plain=plain: dict.fromkeys(
                    ("labels", "votes"), plain.head_logits(pixels)["labels"]
                ),
                config,
            )
        )
    winners = np.array([1] * 8 + [0, 0] + [-1, -1])
    split = replace(make_split(twins=[0]), winners=winners)
    *_, row = compare(*networks, split)
    assert (row["decision"], row["n_images"]) == ("votes", 9)
    assert (row["only_one"], row["only_other"]) == (5, 0)


def test_other_classes_cannot_be_compared():
    from train.measure.paired import compare

    other = make_network([], make_config(class_names=("cat", "dog")))
    with pytest.raises(InputError, match="cat, dog"):
        compare(make_network([]), other, make_split())


def test_only_validation_compares_on_the_command_line(tmp_path):
    from train.__main__ import app

    done = CliRunner().invoke(app, ["evaluate", "--against", str(tmp_path)])
    assert isinstance(done.exception, InputError)
    assert "--validation" in str(done.exception)
