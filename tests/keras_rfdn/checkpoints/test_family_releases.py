"""Published weights of RLFN, BSRN, LKDN, SPAN and EFDN: their scores, and PyTorch's operations on the same arrays."""

import numpy as np
import pytest

from keras_rfdn.checkpoints import author_weights
from keras_rfdn.data.sources import folders
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks.config import variant
from keras_rfdn.upscaling.keras_upscalers import from_model

# Y-PSNR in dB and SSIM on Set5 of the papers' tables. SPAN with 28 channels was never published on Set5: measured here.
SET5 = {
    "rlfn/rlfn_x2.pth": (38.07, 0.9607),
    "rlfn/rlfn_x4.pth": (32.24, 0.8952),
    "bsrn/BSRN_x2.pth": (38.10, 0.9610),
    "bsrn/BSRN_x3.pth": (34.46, 0.9277),
    "bsrn/BSRN_x4.pth": (32.35, 0.8966),
    "lkdn/LKDN_x2.pth": (38.12, 0.9611),
    "lkdn/LKDN_x3.pth": (34.54, 0.9285),
    "lkdn/LKDN_x4.pth": (32.39, 0.8979),
    "span/SPAN_ch28_x4.pth": (31.74, 0.8897),
    "efdn/EFDN_x4.pth": (32.08, 0.8931),
}
FILES = pytest.mark.parametrize("file", SET5)


@pytest.fixture
def released(shared, file):
    path = shared / "weights" / file
    if not path.exists():
        pytest.skip(f"needs {path}")
    return author_weights.read(path)


@FILES
def test_network_and_scale_are_found(released, file):
    name, scale = file.split("/")[0], int(file[-5])
    assert released.config == variant(name, scale)


@pytest.mark.slow
@FILES
def test_set5(released, shared, file):
    upscale, scale, scores = from_model(author_weights.build(released)), released.scale, []
    for _, lr, hr in folders.find_pairs(shared / "data/benchmark/Set5", scale):
        sr = upscale(lr)
        scores.append((metrics.psnr_y(sr, hr, shave=scale), metrics.ssim_y(sr, hr, shave=scale)))
    psnr_y, ssim_y = np.mean(scores, axis=0)
    assert psnr_y == pytest.approx(SET5[file][0], abs=0.02)
    assert ssim_y == pytest.approx(SET5[file][1], abs=0.0003)


@FILES
def test_computes_what_pytorch_does(released, rng, file):
    torch = pytest.importorskip("torch")
    # Noise as faint as a photograph's: of more BSRN makes hundreds of grey levels, and rounding errors as large.
    lr = rng.uniform(100, 150, (1, 33, 38, 3)).astype(np.float32)
    expected = pytorch_network(torch, released.variant, released.state, released.scale)(lr)
    np.testing.assert_allclose(author_weights.build(released)(lr), expected, rtol=0, atol=255e-4)


def pytorch_network(torch, name, state, scale):
    """The networks written down once more in PyTorch's operations, on a file's own arrays.

    Returns a function of float32 RGB 0..255 [n, h, w, 3] that gives [n, h * scale, w * scale, 3].
    """
    f = torch.nn.functional
    state = {key: torch.from_numpy(np.array(array)) for key, array in state.items()}

    def conv(x, key, **settings):
        kernel = state[f"{key}.weight"]
        settings = {"padding": settings.get("dilation", 1) * (kernel.shape[-1] // 2), **settings}
        return f.conv2d(x, kernel, state.get(f"{key}.bias"), groups=x.shape[1] // kernel.shape[1], **settings)

    def separable(x, key, **settings):
        return conv(conv(x, f"{key}.pw"), f"{key}.dw", **settings)

    def prelu(x, key):
        return f.prelu(x, state[f"{key}.weight"])

    def lrelu(x):
        return f.leaky_relu(x, 0.05)

    def esa(x, key, wide, conv2=conv):
        small = conv(x, f"{key}.conv1")
        y = wide(f.max_pool2d(conv2(small, f"{key}.conv2", stride=2, padding=0), 7, 3), key)
        y = f.interpolate(y, x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(conv(y + conv(small, f"{key}.conv_f"), f"{key}.conv4"))

    def three(conv, act):
        return lambda x, key: conv(act(conv(act(conv(x, f"{key}.conv_max")), f"{key}.conv3")), f"{key}.conv3_")

    def cca(x, key):
        contrast = x.std((2, 3), correction=0, keepdim=True) + x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(conv(f.relu(conv(contrast, f"{key}.conv_du.0")), f"{key}.conv_du.2"))

    def rlfn(x):
        first = x = conv(255 * x, "conv_1")
        for block in (f"block_{i}" for i in range(1, 7)):
            y = x
            for i in "123":
                y = lrelu(conv(y, f"{block}.c{i}_r"))
            x = esa(conv(x + y, f"{block}.c5"), f"{block}.esa", lambda y, key: conv(y, f"{key}.conv3"))
        return conv(first + conv(x, "conv_2"), "upsampler.0") / 255

    def distilled(x, block, skip):
        kept = []
        for i in "123":
            kept.append(f.gelu(conv(x, f"{block}.c{i}_d")))
            x = f.gelu(separable(x, f"{block}.c{i}_r") + skip * x)
        return conv(torch.cat([*kept, f.gelu(separable(x, f"{block}.c4"))], 1), f"{block}.c5")

    def esdb(x, block):
        y = esa(distilled(x, block, skip=1), f"{block}.esa", three(separable, f.gelu), separable)
        return x + cca(y, f"{block}.cca")

    def lkdb(x, block):
        y = distilled(x, block, skip=0)
        gate = conv(conv(y, f"{block}.atten.pointwise"), f"{block}.atten.depthwise")
        y = conv(y * conv(gate, f"{block}.atten.depthwise_dilated", dilation=3), f"{block}.c6")
        scale, bias = state[f"{block}.pixel_norm.weight"], state[f"{block}.pixel_norm.bias"]
        return x + f.layer_norm(y.permute(0, 2, 3, 1), scale.shape, scale, bias).permute(0, 3, 1, 2)

    def separable_network(block, last):
        def network(x):
            first = x = separable(torch.cat([x] * 4, 1), "fea_conv")
            outputs = []
            for i in range(1, 9):
                x = block(x, f"B{i}")
                outputs.append(x)
            return conv(first + separable(f.gelu(conv(torch.cat(outputs, 1), "c1")), "c2"), last)

        return network

    def span(x):
        mean = torch.tensor([0.4488, 0.4371, 0.4040]).reshape(3, 1, 1)
        first = x = conv(255 * (x - mean), "conv_1.eval_conv")
        outputs = []
        for block in (f"block_{i}" for i in range(1, 7)):
            inside = f.silu(conv(x, f"{block}.c1_r.eval_conv"))
            y = conv(f.silu(conv(inside, f"{block}.c2_r.eval_conv")), f"{block}.c3_r.eval_conv")
            x = (y + x) * (torch.sigmoid(y) - 0.5)
            outputs.append(x)
        x = torch.cat([first, conv(x, "conv_2.eval_conv"), outputs[0], inside], 1)
        return conv(conv(x, "conv_cat"), "upsampler.0")

    def cell(x, key):
        y1 = prelu(conv(x, f"{key}.conv1.conv1x1"), f"{key}.conv1.act")
        y2 = prelu(conv(y1, f"{key}.conv2.rep_conv"), f"{key}.conv2.act")
        y3 = prelu(conv(y2, f"{key}.conv3.rep_conv"), f"{key}.conv3.act")
        kept = [conv(y, f"{key}.branch.{i}") for i, y in enumerate([x, y1, y2, y3])]
        return x + esa(conv(torch.cat(kept, 1), f"{key}.fuse"), f"{key}.att", three(conv, f.relu))

    def efdn(x):
        first = conv(x, "head")
        one = cell(first, "cells.0")
        two = cell(one, "cells.1")
        three = cell(conv(torch.cat([one, two], 1), "local_fuse.0"), "cells.2")
        four = cell(conv(torch.cat([two, three], 1), "local_fuse.1"), "cells.3")
        return conv(first + conv(torch.cat([two, four], 1), "local_fuse.2"), "tail.0")

    network = {
        "rlfn": rlfn,
        "bsrn": separable_network(esdb, "upsampler.upsampleOneStep.0"),
        "lkdn": separable_network(lkdb, "upsampler.0"),
        "span": span,
        "efdn": efdn,
    }[name]

    def upscale(lr):
        with torch.no_grad():
            x = torch.from_numpy(lr.transpose(0, 3, 1, 2) / np.float32(255))
            return 255 * f.pixel_shuffle(network(x), scale).numpy().transpose(0, 2, 3, 1)

    return upscale
