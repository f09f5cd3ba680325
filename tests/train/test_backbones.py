"""The networks of the recipes: their shapes, where they start, what learns of them."""

import numpy as np
import pytest

from fer.errors import InputError
from tests.conftest import noise, numbers

pytest.importorskip("datasets")
pytest.importorskip("keras")
pytestmark = pytest.mark.keras

from tests.toy_data import toy_recipe  # noqa: E402


def images(side, n=2):
    return np.stack([noise(side, side, seed=i)[..., :1] for i in range(n)]).astype(np.float32)


@pytest.mark.parametrize(
    "choices",
    [
        {"cut": "block_3_expand_relu", "conv": (8, 6), "dense": (5, 4)},
        {"backbone": "cnn"},
        {"backbone": "vit"},
        {"backbone": "resnet"},
        {"backbone": "face"},
        pytest.param({"cbam": True}, marks=pytest.mark.long),
    ],
    ids=["cut", "cnn", "vit", "resnet", "face", "cbam"],
)
def test_a_network_loads_without_this_project_and_answers_the_same(tmp_path, choices):
    import keras

    from train.model import build_model

    keras.utils.set_random_seed(0)
    side = 112 if choices.get("backbone") == "face" else 32
    model = build_model(toy_recipe(**choices), 3, side)
    assert model.output_shape == (None, 3)
    twin = build_model(toy_recipe(**choices), 3, side, fused=True)
    twin.set_weights(model.get_weights())
    model.save(tmp_path / "model.keras")
    # Nothing of ours is registered with Keras, so whatever it loads is its own.
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers[2].layers)
    expected = numbers(model(images(side)))
    for other in (twin, loaded):
        assert np.abs(numbers(other(images(side))) - expected).max() < 1e-4


def test_the_head_has_the_layers_of_the_recipe():
    from train.model import build_model

    model = build_model(toy_recipe(conv=(8, 6), dense=(5, 4), dropout=0.5), 3, 32)
    names = [layer.name for layer in model.layers]
    assert [name for name in names if name.startswith(("conv", "dense", "dropout", "pool"))] == [
        *("conv_1", "conv_1_bn", "conv_1_relu", "conv_2", "conv_2_bn", "conv_2_relu", "pool"),
        *("dropout_1", "dense_1", "dropout_2", "dense_2", "dropout"),
    ]
    assert model.get_layer("dense_2").units == 4
    assert model.get_layer("dropout").rate == 0.5


def test_a_head_goes_on_from_an_earlier_one_as_far_as_it_is_the_same(tmp_path):
    import keras

    from train.model import build_model

    keras.utils.set_random_seed(0)
    recipe = toy_recipe(backbone="cnn", conv=(8,), dense=(5,))
    earlier = build_model(recipe, 3, 32)
    earlier.save(tmp_path / "earlier.keras")
    again = build_model(recipe, 3, 32, init=tmp_path / "earlier.keras")
    assert np.abs(numbers(again(images(32))) - numbers(earlier(images(32)))).max() < 1e-6
    other = toy_recipe(backbone="cnn", conv=(8,), dense=(6,))
    changed = build_model(other, 3, 32, init=tmp_path / "earlier.keras")
    kernels = [model.get_layer("conv_1").get_weights()[0] for model in (earlier, changed)]
    assert (kernels[0] == kernels[1]).all()
    more = build_model(recipe, 4, 32, init=tmp_path / "earlier.keras")
    kernels = [model.get_layer("dense_1").get_weights()[0] for model in (earlier, more)]
    assert (kernels[0] == kernels[1]).all()


def test_every_backbone_can_be_built():
    from train.backbones import _BUILDERS, APPLICATIONS, build_backbone
    from train.recipes import BACKBONES

    assert {*APPLICATIONS, *_BUILDERS} == set(BACKBONES)
    with pytest.raises(InputError, match="input_size"):
        build_backbone(toy_recipe(backbone="vit"), None)


def test_a_cut_network_ends_where_the_recipe_says():
    from train.backbones import build_backbone

    whole = build_backbone(toy_recipe(), 96)
    cut = build_backbone(toy_recipe(cut="block_13_expand_relu"), 96)
    assert cut.layers[-1].name == "block_13_expand_relu"
    assert cut.output_shape == (None, 6, 6, 576)
    assert cut.count_params() < whole.count_params() / 3
    with pytest.raises(InputError, match=r"must be a layer, as .*block_9_add.*block_99"):
        build_backbone(toy_recipe(cut="block_99"), 96)


def test_attention_starts_as_the_network_without_it(tmp_path):
    import keras

    from train.model import build_model, recalibrate_batch_norm

    keras.utils.set_random_seed(0)
    plain = build_model(toy_recipe(), 3, 64)
    # A fresh network answers nearly the same to all pictures.
    recalibrate_batch_norm(plain, images(64, 8).astype(np.uint8))
    plain.save(tmp_path / "plain.keras")
    attending = build_model(toy_recipe(cbam=True), 3, 64, init=tmp_path / "plain.keras")
    names = [layer.name for layer in attending.layers[2].layers]
    assert sum(name.endswith("_where") for name in names) == 6
    before, after = numbers(plain(images(64))), numbers(attending(images(64)))
    assert np.ptp(before[:, 0]) > 0.1
    assert np.abs(before - after).max() < 1e-4
    gate = attending.layers[2].get_layer("cbam_block_2_where")
    gate.bias.assign([1.0])
    assert np.abs(numbers(attending(images(64))) - before).max() > 1e-2
    with pytest.raises(InputError, match="mobilenetv2"):
        toy_recipe(cbam=True, backbone="cnn")


def test_what_is_frozen_stays_as_it_was():
    import keras

    from train.model import build_model, freeze, recalibrate_batch_norm

    keras.utils.set_random_seed(0)
    model = build_model(toy_recipe(), 2, 32)
    layers = model.layers[2].layers
    freeze(model, 0.25)
    learning = [layer.trainable for layer in layers]
    assert sum(learning) == round(len(layers) * 0.25)
    assert learning == sorted(learning)
    before = [numbers(weight) for weight in model.layers[2].weights]
    recalibrate_batch_norm(model, images(32, 8).astype(np.uint8))
    changed = {
        weight.path.split("/")[0]
        for weight, old in zip(model.layers[2].weights, before, strict=True)
        if (numbers(weight) != old).any()
    }
    kept = {layer.name for layer in layers if not layer.trainable}
    assert changed
    assert not changed & kept
    freeze(model, 0.0)
    assert [weight.path for weight in model.trainable_weights] == ["logits/kernel", "logits/bias"]
    freeze(model, 1.0)
    assert all(layer.trainable for layer in layers)


def test_a_network_without_imagenet_weights_says_where_it_can_start(tmp_path):
    from train.model import build_model

    with pytest.raises(InputError, match="random"):
        build_model(toy_recipe(backbone="cnn"), 2, 32, init="imagenet")
    build_model(toy_recipe(backbone="cnn"), 2, 32).save(tmp_path / "cnn.keras")
    with pytest.raises(InputError, match="mobilenetv2"):
        build_model(toy_recipe(), 2, 32, init=tmp_path / "cnn.keras")
    again = build_model(toy_recipe(backbone="cnn"), 2, 32, init=tmp_path / "cnn.keras")
    assert again.output_shape == (None, 2)
