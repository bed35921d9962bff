"""Released weights of DRCN's successors in Keras: against PyTorch where it and ../shared are there, else against what
is known of them.
"""

import pathlib

import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.checkpoints import author_weights, deep_releases, formats
from keras_rfdn.data.sources import folders
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks import models
from keras_rfdn.networks.config import variant
from keras_rfdn.upscaling.keras_upscalers import from_model

SHARED = pathlib.Path(__file__).resolve().parents[3] / "../shared"
DRRN_ZOO, _, MEMNET, IDN, SRMDNF_NCNN, SRMDNF_TORCH, CARN_TORCH, CARN_M_TORCH, CARN_ZOO = deep_releases.RELEASES
DRRN, CARN, CARN_M = "drrn/DRRN-B1U25-0000.params", "carn/CARN_2x-0000.params", "carn/carn_m.pth"
RELEASED = [
    *((DRRN, "drrn", scale) for scale in (2, 3, 4)),
    *((f"idn/IDN_x{scale}.caffemodel", "idn", scale) for scale in (2, 3, 4)),
    *((f"srmdnf/srmdnf_x{scale}.bin", "srmdnf", scale) for scale in (2, 3, 4)),
    (CARN, "carn", 2),
    *((CARN_M, "carn-m", scale) for scale in (2, 3, 4)),
]


# Set5, PSNR and SSIM of luma, `scale` pixels shaved: as measured here. Beside it, PSNR in Table 3 of the RFDN paper, of
# CARN-M in CARN's, and of DRRN in the zoo's README. SRMDNF's paper has images reduced without rounding to grey levels,
# and its authors' MATLAB; so measured, this port of theirs has 37.72, 34.09, 31.94. CARN and CARN-M were trained anew.
SET5 = {
    ("idn/IDN_x2.caffemodel", 2): (37.84, 0.9601),  # 37.83
    ("idn/IDN_x3.caffemodel", 3): (34.12, 0.9256),  # 34.11
    ("idn/IDN_x4.caffemodel", 4): (31.81, 0.8907),  # 31.82
    ("srmdnf/srmdnf_x2.bin", 2): (37.69, 0.9595),  # 37.79
    ("srmdnf/srmdnf_x3.bin", 3): (34.07, 0.9248),  # 34.12
    ("srmdnf/srmdnf_x4.bin", 4): (31.92, 0.8918),  # 31.96
    (CARN, 2): (37.88, 0.9601),  # 37.76
    (CARN_M, 2): (37.68, 0.9595),  # 37.53
    (CARN_M, 3): (34.06, 0.9248),  # 33.99
    (CARN_M, 4): (31.88, 0.8910),  # 31.92
}


def load(name, scale):
    """(variant, {key: array}, Keras model) of a file in ../shared/weights."""
    path = SHARED / "weights" / name
    if not path.exists():
        pytest.skip(f"needs {path}")
    state = formats.read(path)
    released = author_weights.identify(state, scale)
    return released.variant, state, author_weights.build(released)


def random_state(release, scale):
    """Arrays as those of a release for a scale, which the parts of our layers name."""
    rng = np.random.default_rng(0)
    state = {}
    for layer in models.build(variant(release.variant, scale)).layers:
        for part in release.parts(layer, scale) if layer.weights else []:
            fan_in = max(1, np.prod(part.shape[1:]))
            state[part.key] = rng.normal(0, fan_in**-0.5, part.shape).astype(np.float32)
    return state


def memnet_state():
    """As Caffe writes MemNet: what recursions share is there for each. Variances are above zero."""
    state = random_state(MEMNET, 2)
    for block in range(1, 7):
        for key in [f"{part}.{blob}" for part in "ab" for blob in (0, 1)]:
            for recursion in range(2, 7):
                state[f"conv{block:02}_{recursion:02}_{key}"] = state[f"conv{block:02}_01_{key}"]
        if block > 1:
            state |= {f"conv_end_{block:02}.{blob}": state[f"conv_end_01.{blob}"] for blob in (0, 1)}
    return {
        key: 1 + np.abs(array) if key.startswith("bn_") and key.endswith(".1") else array
        for key, array in state.items()
    }


@pytest.mark.parametrize(("file", "name", "scale"), RELEASED)
def test_variant_is_found(file, name, scale):
    assert load(file, scale)[0] == name


def test_one_file_serves_several_scales():
    state = random_state(DRRN_ZOO, 3)
    with pytest.raises(ValueError, match="these weights of drrn serve x2, x3, x4: choose one"):
        author_weights.identify(state)
    assert author_weights.identify(state, 3).scale == 3


def test_idn_is_told_its_scale_by_the_stride():
    state = random_state(IDN, 3)
    with pytest.raises(ValueError, match="are of no released network"):
        author_weights.identify(state)
    assert author_weights.identify({**state, "upsample.stride=3": np.zeros(0)}).scale == 3


@pytest.mark.slow
@pytest.mark.parametrize(("release", "groups"), [(CARN_TORCH, 1), (CARN_M_TORCH, 4)])
def test_carn_of_the_authors_code_is_taken(release, groups):
    name = release.variant
    state = random_state(release, 2) | random_state(release, 3) | random_state(release, 4)
    state |= {f"{key}.shifter.{part}": np.zeros(3) for key in ("sub_mean", "add_mean") for part in ("weight", "bias")}
    assert author_weights.identify(state, 4).variant == name
    kernel = author_weights.build(author_weights.identify(state, 3)).get_layer("upsample.up3.body.0").kernel.numpy()
    # Of group g, PyTorch's channel c * 9 + k is TensorFlow's k * channels + c, beside those of the other groups.
    group, channels = groups - 1, 64 // groups
    ours, theirs = group * 9 * channels + 5 * channels + 7, group * 9 * channels + 7 * 9 + 5
    np.testing.assert_array_equal(kernel[1, 2, 3, ours], state["upsample.up3.body.0.weight"][theirs, 3, 1, 2])
    del state["b2.c1.body.0.bias"]
    with pytest.raises(ValueError, match=rf"nearest is {name} x2, but b2\.c1\.body\.0\.bias \(64,\) is missing"):
        author_weights.identify(state, 2)


def test_carn_of_the_zoo_is_numbered_as_the_authors_code_is():
    state = random_state(CARN_ZOO, 4)
    assert {f"arg:learned_{i}" for i in (*range(4, 66), *range(70, 76))} == state.keys()
    assert state["arg:learned_18"].shape == (64, 128, 1, 1)  # b1.c1, after the residual blocks
    assert state["arg:learned_74"].shape == (3, 64, 3, 3)
    assert author_weights.identify(state).scale == 4


@pytest.mark.parametrize(("release", "last"), [(SRMDNF_NCNN, "Conv_22"), (SRMDNF_TORCH, "model.22")])
def test_srmdnf_of_ncnn_and_pytorch_is_taken(release, last):
    state = random_state(release, 3)
    model = author_weights.build(author_weights.identify(state))
    kernel = model.get_layer("upsampler.0").kernel.numpy()
    np.testing.assert_array_equal(kernel[1, 2, 3, 5 * 3 + 1], state[f"{last}.weight"][1 * 9 + 5, 3, 1, 2])


@pytest.mark.slow
def test_memnet_of_caffe_is_taken():
    state = memnet_state()
    model = author_weights.build(author_weights.identify(state, 2))
    kernel = model.get_layer("conv06_b").kernel.numpy()
    assert kernel[1, 2, 3, 4] == state["conv06_04_b.0"][4, 3, 1, 2]
    weights = model.get_layer("bn_conv03_05_a").get_weights()
    keys = ["scale_conv03_05_a.0", "scale_conv03_05_a.1", "bn_conv03_05_a.0", "bn_conv03_05_a.1"]
    for ours, key in zip(weights, keys, strict=True):
        np.testing.assert_array_equal(ours, state[key])
    state["conv07_01_a.0"] = np.zeros((64, 64, 3, 3), np.float32)
    with pytest.raises(ValueError, match=r"nearest is memnet x2, but conv07_01_a\.0 .* is unexpected"):
        author_weights.identify(state, 2)


# The released networks written down once more, each as one function on a file's arrays, of PyTorch's operations alone.
# x: image [n, 3, h, w] in 0..1. colours: bicubic enlargement of it. Result: the enlarged image.


def pytorch_luma(x):
    return (x * x.new_tensor([65.481, 128.553, 24.966])[:, None, None]).sum(1, keepdim=True) / 255 + 16 / 255


def pytorch_drrn(x, colours, state, scale):
    import torch

    def conv(y, number):
        # In place, as the authors' code: so the skip begins after the first unit's ReLU.
        return torch.nn.functional.conv2d(y.relu_(), state[f"arg:learned_{number}"], padding=1)

    first = y = conv(pytorch_luma(colours), 0)
    for _ in range(25):
        y = first + conv(conv(y, 1), 2)
    return colours + 255 / 219 * conv(y, 3)


def pytorch_memnet(x, colours, state, scale):
    import torch
    from torch.nn import functional as f

    def block(y, bn, name):
        statistics = (state[f"bn_{bn}.0"], state[f"bn_{bn}.1"], state[f"scale_{bn}.0"], state[f"scale_{bn}.1"])
        kernel = state[f"{name}.0"]
        y = f.batch_norm(y, *statistics, eps=1e-5).relu()
        return f.conv2d(y, kernel, state[f"{name}.1"], padding=kernel.shape[-1] // 2)

    low = pytorch_luma(colours)
    memories, result = [block(low, "conv1", "conv1")], 0
    for i in range(1, 7):
        y, short = memories[-1], []
        for j in range(1, 7):
            name = f"conv{i:02}_{j:02}"
            y = y + block(block(y, f"{name}_a", f"{name}_a"), f"{name}_b", f"{name}_b")
            short.append(y)
        name = f"conv_transition_{i:02}"
        memories.append(block(torch.cat([*memories, *short], 1), name, name))
        name = f"conv_end_{i:02}"
        result = result + state[f"weight_output_end_{i:02}.0"] * (low + block(memories[-1], name, name))
    return colours + 255 / 219 * (result - low)


def pytorch_idn(x, colours, state, scale):
    import torch
    from torch.nn import functional as f

    def conv(y, name, groups=1):
        kernel = state[f"{name}.0"]
        y = f.conv2d(y, kernel, state[f"{name}.1"], padding=kernel.shape[-1] // 2, groups=groups)
        return f.leaky_relu(y, 0.05)

    y = conv(conv(pytorch_luma(x), "conv1"), "conv2")
    for i in range(3, 7):
        z = conv(conv(conv(y, f"conv{i}_1"), f"conv{i}_2", groups=4), f"conv{i}_3")
        kept, z = z[:, :16], z[:, 16:]
        z = conv(conv(conv(z, f"conv{i}_4"), f"conv{i}_5", groups=4), f"conv{i}_6")
        y = conv(torch.cat([y, kept], 1) + z, f"down{i - 2}")
    # Caffe's deconvolution of padding 8 gives scale - 1 rows less than the image has; the authors' mycrop.m leaves out
    # the image's first ones. Here they are there.
    y = f.conv_transpose2d(y, state["upsample.0"], state["upsample.1"], stride=scale)
    y = y[..., 9 - scale : -8, 9 - scale : -8]
    return colours + 255 / 219 * y


def pytorch_srmdnf(x, colours, state, scale):
    import torch
    from torch.nn import functional as f

    first = [-1.12360956e-08, -1.36899159e-08, 1.85637958e-02, 2.86066886e-08, 3.35292965e-02]
    second = [8.37272935e-08, -2.54424009e-07, -3.16234976e-02, -1.35169253e-02, -1.10466090e-08]
    third = [3.84753793e-02, 3.79465739e-08, -2.44916752e-01, -8.02213490e-01, -5.40549755e-01]
    code = x.new_tensor([*first, *second, *third])
    x = torch.cat([x, code[None, :, None, None].expand(len(x), -1, *x.shape[2:])], 1)
    for i in range(12):
        x = f.conv2d(x, state[f"Conv_{2 * i}.weight"], state[f"Conv_{2 * i}.bias"], padding=1)
        x = x.relu() if i < 11 else x
    return f.pixel_shuffle(x, scale)


def pytorch_carn(x, colours, state, scale, groups=1):
    import torch
    from torch.nn import functional as f

    def conv(y, name, groups=1):
        kernel = state[f"{name}.weight"]
        return f.conv2d(y, kernel, state[f"{name}.bias"], padding=kernel.shape[-1] // 2, groups=groups)

    def residual(y, name):
        z = conv(conv(y, f"{name}.body.0", groups).relu(), f"{name}.body.2", groups)
        z = conv(z.relu(), f"{name}.body.4") if groups > 1 else z
        return (y + z).relu()

    def cascade(y, name, unit):
        features = y
        for i in (1, 2, 3):
            features = torch.cat([features, unit(y, i)], 1)
            y = conv(features, f"{name}c{i}.body.0").relu()
        return y

    def block(y, i):
        return cascade(y, f"b{i}.", lambda z, j: residual(z, f"b{i}.b{j if groups == 1 else 1}"))

    y = cascade(conv(conv(x, "sub_mean.shifter"), "entry"), "", block)
    for i, factor in enumerate([3] if scale == 3 else [2] * (scale // 2)):
        y = f.pixel_shuffle(conv(y, f"upsample.up{scale}.body.{3 * i}", groups).relu(), factor)
    return conv(conv(y, "exit"), "add_mean.shifter")


def pytorch_carn_of_the_zoo(x, colours, state, scale):
    layers = ["sub_mean.shifter", "add_mean.shifter", "entry"]
    for i in (1, 2, 3):
        layers += [f"b{i}.b{j}.body.{k}" for j in (1, 2, 3) for k in (0, 2)]
        layers += [f"b{i}.c{j}.body.0" for j in (1, 2, 3)]
    layers += [f"c{j}.body.0" for j in (1, 2, 3)]
    layers += ["upsample.up2.body.0", "upsample.up3.body.0", "upsample.up4.body.0", "upsample.up4.body.3", "exit"]
    keys = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    named = {key: state.get(f"arg:learned_{number}") for number, key in enumerate(keys)}
    return pytorch_carn(x, colours, named, scale)


def pytorch_carn_m(x, colours, state, scale):
    return pytorch_carn(x, colours, state, scale, groups=4)


PYTORCH = {
    "drrn": pytorch_drrn,
    "memnet": pytorch_memnet,
    "idn": pytorch_idn,
    "srmdnf": pytorch_srmdnf,
    "carn": pytorch_carn_of_the_zoo,
    "carn-m": pytorch_carn_m,
}


def both(name, model, state, scale, run):
    """Ours and PyTorch's enlargement of noise, in grey levels [1, h, w, 3]. run: (name, arrays) -> PyTorch's."""
    lr = np.random.default_rng(0).uniform(0, 255, (1, 21, 18, 3)).astype(np.float32)
    colours = np.zeros((1, 1, 1, 3), np.float32)  # of no use
    if "bicubic" in [layer.name for layer in model.layers]:
        colours = keras.Model(model.input, model.get_layer("bicubic").output)(lr).numpy()
    images = [image.transpose(0, 3, 1, 2) for image in (lr / np.float32(255), colours)]
    return model(lr).numpy(), 255 * run(name, *images, state, scale).transpose(0, 2, 3, 1)


def run_pytorch(name, x, colours, state, scale):
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        tensors = {key: torch.from_numpy(np.array(array)) for key, array in state.items()}
        return PYTORCH[name](torch.from_numpy(x), torch.from_numpy(colours), tensors, scale).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name", "scale"), RELEASED)
def test_released_networks_compute_what_pytorch_does(file, name, scale):
    _, state, model = load(file, scale)
    np.testing.assert_allclose(*both(name, model, state, scale, run_pytorch), rtol=0, atol=255e-4)


@pytest.mark.slow
def test_memnet_computes_what_pytorch_does():
    state = memnet_state()
    model = author_weights.build(author_weights.identify(state, 2))
    ours, theirs = both("memnet", model, state, 2, run_pytorch)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=np.abs(theirs).max() * 1e-4)


def psnr_and_ssim(model, scale, images=""):
    """Of each image of Set5 whose name begins so."""
    upscale = from_model(model)
    scores = []
    for name, lr, hr in folders.find_pairs(SHARED / "data/benchmark/Set5", scale):
        if name.startswith(images):
            sr = upscale(lr)
            scores.append((metrics.psnr_y(sr, hr, shave=scale), metrics.ssim_y(sr, hr, shave=scale)))
    return scores


@pytest.mark.slow
@pytest.mark.parametrize(("file", "scale"), SET5)
def test_set5(file, scale):
    _, _, model = load(file, scale)
    psnr_y, ssim_y = np.mean(psnr_and_ssim(model, scale), axis=0)
    assert (round(psnr_y, 2), round(ssim_y, 4)) == SET5[file, scale]


@pytest.mark.slow
def test_drrn_on_one_image():
    """Of Set5, where the zoo's README has 31.70 dB on average: DRRN takes minutes for all."""
    _, _, model = load(DRRN, 4)
    ((psnr_y, ssim_y),) = psnr_and_ssim(model, 4, "butterfly")
    assert (round(psnr_y, 2), round(ssim_y, 4)) == (27.70, 0.9167)
