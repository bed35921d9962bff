"""SRCNN, FSRCNN, VDSR and LapSRN as released: against PyTorch, TensorFlow's own run of the graphs, and the papers."""

import numpy as np
import pytest
import tensorflow as tf

from keras_rfdn.checkpoints import author_weights, formats
from keras_rfdn.checkpoints.early_releases import RELEASES
from keras_rfdn.data.sources import folders
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks.config import variant
from keras_rfdn.upscaling.keras_upscalers import from_model

# Files, their networks, and PSNR and SSIM on Set5, Y channel, `scale` pixels shaved. The papers: SRCNN 36.66, 32.75 and
# 30.48 dB, which the authors' demo reaches with LR images and bicubic ones that are not rounded; VDSR 37.53, 33.66 and
# 31.35 dB. FSRCNN's paper has 37.00, 33.18 and 30.72 dB, LapSRN's 37.52, 33.81 and 31.54: their files here are others'.
RELEASED = {
    ("srcnn/SRCNN_x2.mat", 2): ("srcnn", 36.68, 0.9545),
    ("srcnn/SRCNN_x3.mat", 3): ("srcnn", 32.76, 0.9096),
    ("srcnn/SRCNN_x4.mat", 4): ("srcnn", 30.50, 0.8636),
    ("fsrcnn/FSRCNN_x2.pb", 2): ("fsrcnn", 34.85, 0.9403),
    ("fsrcnn/FSRCNN_x3.pb", 3): ("fsrcnn", 30.56, 0.8712),
    ("fsrcnn/FSRCNN_x4.pb", 4): ("fsrcnn", 28.38, 0.8108),
    ("vdsr/VDSR_Official.mat", 2): ("vdsr", 37.55, 0.9590),
    ("vdsr/VDSR_Official.mat", 3): ("vdsr", 33.66, 0.9218),
    ("vdsr/VDSR_Official.mat", 4): ("vdsr", 31.35, 0.8844),
    ("lapsrn/LapSRN_x2.pb", 2): ("lapsrn-tf", 34.47, 0.9366),
    ("lapsrn/LapSRN_x4.pb", 3): ("lapsrn-tf", 30.89, 0.8771),
    ("lapsrn/LapSRN_x4.pb", 4): ("lapsrn-tf", 28.73, 0.8212),
}


@pytest.fixture
def weights(shared):
    def path(name):
        if not (shared / "weights" / name).exists():
            pytest.skip(f"no {name}")
        return shared / "weights" / name

    return path


@pytest.mark.slow
@pytest.mark.parametrize(("file", "scale"), RELEASED)
def test_set5(file, scale, weights, shared):
    released = author_weights.read(weights(file), scale)
    upscale, scores = from_model(author_weights.build(released)), []
    for _, lr, hr in folders.find_pairs(shared / "data/benchmark/Set5", scale):
        sr = upscale(lr)
        scores.append((metrics.psnr_y(sr, hr, shave=scale), metrics.ssim_y(sr, hr, shave=scale)))
    name, psnr_y, ssim_y = RELEASED[file, scale]
    assert released.variant == name
    measured = np.mean(scores, axis=0)
    assert measured[0] == pytest.approx(psnr_y, abs=0.01)
    assert measured[1] == pytest.approx(ssim_y, abs=2e-4)


def random_state(name, scale):
    """A file's arrays {key: array} for a network, with numbers that keep features from vanishing."""
    rng = np.random.default_rng(0)
    (release,) = (release for release in RELEASES if release.variant == name)
    shapes = author_weights._expected_shapes(release, variant(name, scale))
    return {key: rng.normal(0, 0.05, shape).astype(np.float32) for key, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "scales"), [("srcnn", (2, 3, 4)), ("fsrcnn", (3,)), ("vdsr", (2, 3, 4)), ("lapsrn-tf", (2,))]
)
def test_networks_are_found(name, scales):
    state = random_state(name, scales[0])
    if name in ("fsrcnn", "lapsrn-tf"):
        state["mul_1/x"] = np.float32(0.2)  # of an operation
    assert author_weights.identify(state, scales[-1]).config == variant(name, scales[-1])
    if len(scales) > 1:
        with pytest.raises(ValueError, match=f"weights of {name} serve x2, x3, x4: choose one"):
            author_weights.identify(state)
    del state[list(state)[1]]
    with pytest.raises(ValueError, match=rf"nearest is {name} x{scales[0]}, but .* is missing"):
        author_weights.identify(state)


def test_srcnns_taps_go_down_the_columns():
    state = random_state("srcnn", 2)
    model = author_weights.build(author_weights.identify(state, 2))
    kernels = [model.get_layer(f"conv{i}").kernel.numpy() for i in (1, 2, 3)]
    assert kernels[0][2, 5, 0, 40] == state["weights_conv1"][2 + 9 * 5, 40]
    assert kernels[1][1, 3, 50, 20] == state["weights_conv2"][50, 1 + 5 * 3, 20]
    assert kernels[2][4, 2, 30, 0] == state["weights_conv3"][30, 4 + 5 * 2]


def test_lapsrn_of_two_levels_serves_x3():
    state = random_state("lapsrn-tf", 4)
    assert author_weights.identify(state, 3).config == variant("lapsrn-tf", 3)
    assert {key.rpartition("_")[2] for key in state if key.startswith("Variable_")} == {str(i) for i in range(1, 18)}
    model = author_weights.build(author_weights.identify(state, 4))
    np.testing.assert_array_equal(model.get_layer("3_1").kernel, state["Variable_11"])
    np.testing.assert_array_equal(model.get_layer("0_1").bias, np.repeat(state["0_1bias"], 64))
    np.testing.assert_array_equal(model.get_layer("image_1").kernel, state["reconstruction_2_deconv_f_3"])


def sr_luma(name, state, scale, lr):
    """Luma in 0..1 [h, w] of what our network makes of lr, float32 RGB in 0..255 [h, w, 3]."""
    model = author_weights.build(author_weights.identify(state, scale))
    return metrics.luma(model(lr[None])[0].numpy()) / 255


def assert_luma_equals(name, state, scale, network, rng):
    """Within a hundredth of a grey level, on noise. network: (lr, scale) -> luma in 0..1."""
    lr = rng.uniform(0, 255, (17, 21, 3)).astype(np.float32)
    np.testing.assert_allclose(sr_luma(name, state, scale, lr), network(lr, scale), rtol=0, atol=4e-5)


def pytorch_srcnn(state, luma):
    """SRCNN as its authors' demo has it. luma: [h, w] in 0..1, enlarged."""
    import torch
    from torch.nn import functional as f

    x = torch.from_numpy(luma)[None, None].float()
    for i, (size, inputs, outputs) in enumerate([(9, 1, 64), (5, 64, 32), (5, 32, 1)], start=1):
        # Taps go column by column.
        taps = torch.from_numpy(state[f"weights_conv{i}"]).float().reshape(inputs, size, size, outputs)
        bias = torch.from_numpy(state[f"biases_conv{i}"].ravel()).float()
        x = f.conv2d(f.pad(x, [size // 2] * 4, "replicate"), taps.permute(3, 0, 2, 1), bias)
        x = f.relu(x) if i < 3 else x
    return x[0, 0].numpy()


def pytorch_vdsr(state, luma):
    import torch
    from torch.nn import functional as f

    first = x = torch.from_numpy(luma)[None, None].float()
    for i in range(20):
        kernel = torch.from_numpy(state[f"model.weight.{i}"].reshape(3, 3, -1, 64 if i < 19 else 1))
        x = f.conv2d(x, kernel.permute(3, 2, 0, 1), torch.from_numpy(state[f"model.bias.{i}"].ravel()), padding=1)
        x = f.relu(x) if i < 19 else x + first
    return x[0, 0].numpy()


@pytest.mark.parametrize(
    ("file", "name", "scale", "network"),
    [
        (None, "srcnn", 3, pytorch_srcnn),
        (None, "vdsr", 2, pytorch_vdsr),
        ("srcnn/SRCNN_x2.mat", "srcnn", 2, pytorch_srcnn),
        ("vdsr/VDSR_Official.mat", "vdsr", 4, pytorch_vdsr),
    ],
)
def test_networks_compute_what_pytorch_does(file, name, scale, network, request, rng):
    pytest.importorskip("torch")
    state = formats.read(request.getfixturevalue("weights")(file)) if file else random_state(name, scale)
    assert_luma_equals(name, state, scale, lambda lr, scale: network(state, enlarged_luma(lr, scale)), rng)


def enlarged_luma(lr, scale):
    from keras_rfdn.networks.layers import BicubicUpscale

    return metrics.luma(BicubicUpscale(scale)(lr[None])[0].numpy()) / 255


@pytest.mark.parametrize(
    ("file", "name", "scale", "output"),
    [
        *((f"fsrcnn/FSRCNN_x{scale}.pb", "fsrcnn", scale, "NHWC_output:0") for scale in (2, 3, 4)),
        ("lapsrn/LapSRN_x2.pb", "lapsrn-tf", 2, "sub_11:0"),
        ("lapsrn/LapSRN_x4.pb", "lapsrn-tf", 4, "sub_23:0"),
    ],
)
def test_networks_compute_what_their_graphs_do(file, name, scale, output, weights, rng):
    """Run by TensorFlow, operation by operation."""
    path = weights(file)
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    imported = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    run = imported.prune("IteratorGetNext:0", output)

    def network(lr, scale):
        return run(tf.constant(metrics.luma(lr)[None, ..., None] / 255, tf.float32))[0, ..., 0]

    assert_luma_equals(name, formats.read(path), scale, network, rng)


def test_fsrcnns_deconvolution_is_its_publishers_pixel_shuffle(rng):
    """Without the released files."""
    state = random_state("fsrcnn", 3)
    model = author_weights.build(author_weights.identify(state))
    features = rng.normal(size=(1, 5, 4, 56)).astype(np.float32)
    shuffled = tf.nn.depth_to_space(tf.nn.conv2d(features, state["f8"], 1, "SAME"), 3) + state["b8"]
    np.testing.assert_allclose(model.get_layer("deconv")(features), shuffled, atol=1e-5)
