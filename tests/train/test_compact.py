"""Networks in small files answer nearly as they did."""

import numpy as np
import pytest

from fer.errors import InputError
from tests.conftest import noise, numbers

pytest.importorskip("datasets")
pytest.importorskip("keras")
pytestmark = pytest.mark.keras

from tests.toy_data import toy_recipe  # noqa: E402


def test_a_small_file_holds_the_network(tmp_path):
    """The weights that ship, because a random network doubles each rounding layer by layer."""
    from fer.hub import KERAS_NAME, WEIGHTS_FOLDER
    from train.model import build_model, head_logits, load_model, save_compact

    model = load_model(WEIGHTS_FOLDER / KERAS_NAME, "it")
    save_compact(model, toy_recipe(), tmp_path / "small.npz")
    whole = (WEIGHTS_FOLDER / KERAS_NAME).stat().st_size
    assert (tmp_path / "small.npz").stat().st_size < 0.3 * whole
    pixels = np.stack([noise(96, 96, seed=i)[..., :1] // 2 + 60 for i in range(8)])
    pixels = pixels.astype(np.float32)
    small = numbers(head_logits(load_model(tmp_path / "small.npz", "it")(pixels))[0])
    exact = numbers(head_logits(model(pixels))[0])
    assert 0 < np.abs(small - exact).max() < 0.1 * np.ptp(exact)
    started = build_model(toy_recipe(), 7, 96, init=tmp_path / "small.npz")
    assert np.abs(numbers(started(pixels)) - small).max() < 1e-4


def test_both_heads_and_another_network_come_back(tmp_path):
    import keras

    from train.model import build_model, head_logits, load_model, save_compact

    keras.utils.set_random_seed(0)
    recipe = toy_recipe(backbone="resnet")
    model = build_model(recipe, 3, 32, n_votes=4)
    save_compact(model, recipe, tmp_path / "small.npz")
    pixels = noise(32, 32)[None, ..., :1].astype(np.float32)
    small = head_logits(load_model(tmp_path / "small.npz", "it")(pixels))
    for mine, theirs in zip(small, head_logits(model(pixels)), strict=True):
        assert np.abs(numbers(mine) - numbers(theirs)).max() < 0.05 * np.ptp(numbers(theirs))


@pytest.mark.parametrize("content", [b"", b"nothing", None], ids=["empty", "text", "other"])
def test_another_file_is_refused(tmp_path, content):
    from train.model import load_model

    path = tmp_path / "other.npz"
    if content is None:
        np.savez(path, about=np.frombuffer(b"{}", np.uint8))
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a teacher must be a file that `compact` wrote.*other"):
        load_model(path, "a teacher")
