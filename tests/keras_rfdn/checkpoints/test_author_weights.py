"""Released weights in Keras: against PyTorch where it and ../shared are there, else against what is known of them."""

import collections
import dataclasses
import pathlib

import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.checkpoints import author_weights, checkpoint, formats, releases
from keras_rfdn.checkpoints.formats import torch_state_dict
from keras_rfdn.data.images import image_files
from keras_rfdn.data.sources import folders
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks import models
from keras_rfdn.networks.config import variant
from keras_rfdn.upscaling.keras_upscalers import from_model

SHARED = pathlib.Path(__file__).resolve().parents[3] / "../shared"
RELEASED = [("RFDN_AIM", "e-rfdn", 4), ("IMDN_x2", "imdn", 2), ("IMDN_x3", "imdn", 3), ("IMDN_x4", "imdn", 4)]
# Set5, Y channel, `scale` pixels shaved. RFDN_AIM: measured in PyTorch; IMDN: Table 3 of the RFDN paper.
SET5 = {"RFDN_AIM": (32.16, 0.8946), "IMDN_x2": (38.00, 0.9605), "IMDN_x3": (34.36, 0.9270), "IMDN_x4": (32.21, 0.8948)}


def weights(name):
    path = SHARED / "weights" / f"{name}.pth"
    if not path.exists():
        pytest.skip(f"needs {path}")
    return path


def load(state):
    """(variant, configuration, Keras model) of a state dict."""
    released = author_weights.identify(state)
    return released.variant, released.config, author_weights.build(released)


def random_state(name, scale, seed=0):
    """A state dict of a variant's shapes, in PyTorch's order of axes."""
    rng = np.random.default_rng(seed)
    state = {}
    for layer in models.build(variant(name, scale)).layers:
        if layer.weights:
            h, w, inputs, outputs = layer.kernel.shape
            bound = (h * w * inputs) ** -0.5
            state[f"{layer.name}.weight"] = rng.uniform(-bound, bound, (outputs, inputs, h, w)).astype(np.float32)
            state[f"{layer.name}.bias"] = rng.uniform(-bound, bound, outputs).astype(np.float32)
    return state


def as_imdn(state):
    """With the names that the released IMDN has."""
    return {"module." + (f"IMD{key}" if key[0] == "B" else key): array for key, array in state.items()}


@pytest.mark.parametrize(("name", "scale"), [("e-rfdn", 4), ("e-rfdn", 2), ("imdn", 3)])
def test_variant_and_scale_are_found(name, scale):
    state = random_state(name, scale)
    found, config, model = load(as_imdn(state) if name == "imdn" else state)
    assert (found, config) == (name, variant(name, scale))
    assert model.output_shape[-1] == 3
    kernel = model.get_layer("B2.c3_r" if name == "e-rfdn" else "B2.c3").kernel.numpy()
    assert kernel[2, 0, 5, 7] == state["B2.c3_r.weight" if name == "e-rfdn" else "B2.c3.weight"][7, 5, 2, 0]


@pytest.mark.parametrize(("name", "white", "features"), [("e-rfdn", 255, 256), ("imdn", 1, 1)])
def test_the_ends_know_the_range(name, white, features):
    """The first features must come out as PyTorch's from images in 0..white, divided; the last convolution in 0..1."""
    state = random_state(name, 4)
    _, _, model = load(as_imdn(state) if name == "imdn" else state)
    first, last, factor = model.get_layer("fea_conv"), model.get_layer("upsampler.0"), white / features
    np.testing.assert_allclose(first.kernel[1, 2, 0, 5], factor * state["fea_conv.weight"][5, 0, 1, 2], rtol=1e-6)
    np.testing.assert_array_equal(first.bias, state["fea_conv.bias"] / features)
    # Green of the HR pixel in row 2, column 3 of 4x4: PyTorch's channel 1 * 16 + 11, TensorFlow's 11 * 3 + 1.
    np.testing.assert_allclose(last.kernel[0, 1, 6, 34], state["upsampler.0.weight"][27, 6, 0, 1] / factor, rtol=1e-6)
    np.testing.assert_allclose(last.bias[34], state["upsampler.0.bias"][27] / white, rtol=1e-6)


def test_a_network_of_grey_levels_gets_features_as_large_as_ours():
    """Each layer gives PyTorch's output divided by a power of two: 256 in the trunk, 16 in the attention."""
    state = random_state("e-rfdn", 2)
    model = load(state)[2]
    layers = [layer for layer in model.layers if layer.weights]
    plain = models.build(variant("e-rfdn", 2))  # the same weights as the file has them
    for layer in layers:
        kernel, bias = (state[f"{layer.name}.{part}"] for part in ("weight", "bias"))
        plain.get_layer(layer.name).set_weights([kernel.transpose(2, 3, 1, 0), bias])
    lr = np.random.default_rng(0).uniform(0, 255, (1, 24, 20, 3)).astype(np.float32)
    names = [layer.name for layer in layers[:-1]]  # the last convolution's channels have another order
    ours, theirs = (keras.Model(m.input, [m.get_layer(name).output for name in names]) for m in (model, plain))
    for name, got, wanted in zip(names, ours(lr), theirs(lr * 255), strict=True):
        divisor = 256 if ".esa." not in name else 1 if name.endswith("conv4") else 16
        np.testing.assert_allclose(got * divisor, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max(), err_msg=name)


def test_what_does_not_fit_is_named():
    state = random_state("e-rfdn", 4)
    state["B1.c2_d.weight"] = state["B1.c2_d.weight"][:12]
    del state["c.0.bias"]
    state["B9.c1.weight"] = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="nearest is e-rfdn x4") as error:
        load(state)
    assert "B1.c2_d.weight is (12, 50, 1, 1), not (25, 50, 1, 1)" in str(error.value)
    assert "c.0.bias (50,) is missing" in str(error.value)
    assert "B9.c1.weight (2, 3) is unexpected" in str(error.value)


def test_a_file_for_several_scales_needs_one(monkeypatch):
    state = random_state("e-rfdn", 3)
    several = dataclasses.replace(
        releases.RELEASES[0], scales=lambda shapes: (3, 4), ignored=lambda key: key == "other"
    )
    monkeypatch.setattr(author_weights, "RELEASES", (several,))
    assert author_weights.identify(state | {"other": np.zeros(3)}, 3).config == variant("e-rfdn", 3)
    with pytest.raises(ValueError, match=r"serve x3, x4: choose one by .* --scale 3 --out e-rfdn-x3.h5"):
        author_weights.identify(state)
    with pytest.raises(ValueError, match="serve x3, x4, not x2"):
        author_weights.identify(state, 2)


def test_what_is_nothing_like_it_is_refused_in_few_words():
    state = {f"features.{i}.weight": np.zeros((64, 3, 11, 11), np.float32) for i in range(100)}
    with pytest.raises(ValueError, match=r"they are features.0.weight \(64, 3, 11, 11\); .* and 92 more") as error:
        load(state)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("name", ["e-rfdn", "imdn"])
def test_checkpoint_takes_a_pth_as_a_weight_file(tmp_path, monkeypatch, name):
    state = random_state(name, 3)
    state = as_imdn(state) if name == "imdn" else state
    monkeypatch.setattr(formats, "read", lambda path: state)
    path = tmp_path / "w.pth"
    path.touch()
    assert checkpoint.resolve(path, variant=name, scale=3) == path
    assert checkpoint.about(path) == (variant(name, 3), {"variant": name, "source": "w.pth"})
    model, config = checkpoint.load(path, height=20, width=16)
    assert (config, model.input_shape) == (variant(name, 3), (None, 20, 16, 3))
    for ours, wanted in zip(model.get_weights(), load(state)[2].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    with pytest.raises(ValueError, match=rf"w\.pth holds {name} x3, not any x4"):
        checkpoint.resolve(path, scale=4)
    del state["module.fea_conv.bias" if name == "imdn" else "fea_conv.bias"]
    path.write_text("another file")
    with pytest.raises(ValueError, match=r"w\.pth: these weights .* fea_conv\.bias .* is missing"):
        checkpoint.load(path)


def test_a_command_reads_a_pth_once(tmp_path, monkeypatch):
    state, calls = random_state("e-rfdn", 4), collections.Counter()
    identify = author_weights.identify
    monkeypatch.setattr(formats, "read", lambda path: calls.update(["read"]) or state)
    monkeypatch.setattr(author_weights, "identify", lambda *args: calls.update(["identify"]) or identify(*args))
    path = tmp_path / "w.pth"
    path.touch()
    resolved = checkpoint.resolve(str(path), variant="e-rfdn", scale=4)
    checkpoint.about(resolved)
    checkpoint.load(resolved)
    assert calls == {"read": 1, "identify": 1}
    path.write_text("another file of the same name")
    checkpoint.load(path)
    assert calls == {"read": 2, "identify": 2}


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name", "scale"), RELEASED)
def test_set5(file, name, scale):
    _, _, model = load(torch_state_dict.read(weights(file)))
    upscale, scores = from_model(model), []
    for _, lr, hr in folders.find_pairs(SHARED / "data/benchmark/Set5", scale):
        sr = upscale(lr)
        scores.append((metrics.psnr_y(sr, hr, shave=scale), metrics.ssim_y(sr, hr, shave=scale)))
    psnr_y, ssim_y = np.mean(scores, axis=0)
    assert (round(psnr_y, 2), round(ssim_y, 4)) == SET5[file]


def pytorch_network(name, state, scale):
    """The released networks written down once more, from their papers, as one function on a state dict.

    x: [n, 3, h, w] in the range that the file's network takes.
    """
    torch = pytest.importorskip("torch")
    from torch.nn import functional as f

    state = {key.removeprefix("module."): torch.from_numpy(array) for key, array in state.items()}

    def conv(x, key, **settings):
        kernel = state[f"{key}.weight"]
        settings.setdefault("padding", kernel.shape[-1] // 2)
        return f.conv2d(x, kernel, state[f"{key}.bias"], **settings)

    def act(x):
        return f.leaky_relu(x, 0.05)

    def esa(x, key):
        small = conv(x, f"{key}.conv1")
        y = f.max_pool2d(conv(small, f"{key}.conv2", stride=2, padding=0), 7, 3)
        y = f.relu(conv(f.relu(conv(y, f"{key}.conv_max")), f"{key}.conv3"))
        y = f.interpolate(conv(y, f"{key}.conv3_"), x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(conv(y + conv(small, f"{key}.conv_f"), f"{key}.conv4"))

    def cca(x, key):
        contrast = x.std((2, 3), correction=0, keepdim=True) + x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(conv(f.relu(conv(contrast, f"{key}.conv_du.0")), f"{key}.conv_du.2"))

    def rfdb(x, key):
        kept = []
        for i in "123":
            kept.append(act(conv(x, f"{key}.c{i}_d")))
            x = act(conv(x, f"{key}.c{i}_r") + x)
        kept.append(act(conv(x, f"{key}.c4")))
        return esa(conv(torch.cat(kept, 1), f"{key}.c5"), f"{key}.esa")

    def imdb(x, key):
        kept, rest = [], x
        for i in "123":
            y = act(conv(rest, f"{key}.c{i}"))
            kept.append(y[:, :16])
            rest = y[:, 16:]
        kept.append(conv(rest, f"{key}.c4"))
        return x + conv(cca(torch.cat(kept, 1), f"{key}.cca"), f"{key}.c5")

    block, keys = {"e-rfdn": (rfdb, [f"B{i}" for i in range(1, 5)]), "imdn": (imdb, [f"IMDB{i}" for i in range(1, 7)])}[
        name
    ]

    def network(x):
        with torch.no_grad():
            first = x = conv(torch.from_numpy(x), "fea_conv")
            outputs = []
            for key in keys:
                x = block(x, key)
                outputs.append(x)
            x = first + conv(act(conv(torch.cat(outputs, 1), "c.0")), "LR_conv")
            return f.pixel_shuffle(conv(x, "upsampler.0"), scale).numpy()

    return network


def lr_images(scale):
    """[name, float32 RGB 0..255 [1, h, w, 3]]: noise, and real images where ../shared is there."""
    noise = np.random.default_rng(0).uniform(0, 255, (2, 40, 37, 3)).astype(np.float32)
    flat = np.full((1, 19, 24, 3), 128, np.float32)
    folder = SHARED / f"data/benchmark/Set5/LR_bicubic/X{scale}"
    real = [image_files.read(path)[None].astype(np.float32) for path in sorted(folder.glob("b*.png"))]
    return [noise, flat, *real]


def assert_equals_pytorch(model, network, white, scale):
    """Within 1e-4 of full scale, 0.0255 grey levels."""
    for lr in lr_images(scale):
        expected = network((lr * np.float32(white / 255)).transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1) * (255 / white)
        np.testing.assert_allclose(model(lr).numpy(), expected, rtol=0, atol=255e-4)


@pytest.mark.parametrize(("file", "name", "scale"), RELEASED)
def test_released_networks_compute_what_pytorch_does(file, name, scale):
    state = torch_state_dict.read(weights(file))
    _, _, model = load(state)
    white = {"e-rfdn": 255, "imdn": 1}[name]
    assert_equals_pytorch(model, pytorch_network(name, state, scale), white, scale)


@pytest.mark.parametrize(("name", "scale", "white"), [("e-rfdn", 2, 255), ("imdn", 3, 1)])
def test_random_networks_compute_what_pytorch_does(name, scale, white):
    """Without the released files, and at scales that were not released."""
    state = random_state(name, scale)
    state = as_imdn(state) if name == "imdn" else state
    _, _, model = load(state)
    assert_equals_pytorch(model, pytorch_network(name, state, scale), white, scale)
