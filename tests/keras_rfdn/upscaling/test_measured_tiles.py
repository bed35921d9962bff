"""What tiles cost: the figures of docs/upscaling.md. Run with -s to see them."""

import numpy as np
import pytest

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.images import bicubic, image_files
from keras_rfdn.evaluation import metrics
from keras_rfdn.upscaling import litert, tiling


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most_db"), [("e-rfdn-x4", 0.002), ("rfdn-x4", 0.002), ("rfdn-mobile-x4", 0.0002)])
def test_tiles_cost_next_to_nothing(shared, name, most_db):
    """Kodak's 24 photographs in four tiles each, against the whole."""
    model = litert.Model(pretrained.int8(name))
    for overlap in (4, 8, 16, 24):
        losses, steps = [], []
        for path in image_files.find(shared / "data/valid/Kodak24"):
            hr = bicubic.modcrop(image_files.read(path), model.scale)
            lr = bicubic.downscale(hr, model.scale)
            whole = model.upscale(lr)
            tile = lr.shape[0] // 2 + overlap, lr.shape[1] // 2 + overlap
            tiled = tiling.tiled(model.upscale, model.scale, tile, overlap=overlap)(lr)
            losses.append(np.subtract(*(metrics.psnr_y(sr, hr, shave=model.scale) for sr in (whole, tiled))))
            error = tiled.astype(int) - whole
            y, x = hr.shape[0] // 2, hr.shape[1] // 2  # the cuts
            steps.append(max(np.abs(error[:, x] - error[:, x - 1]).max(), np.abs(error[y] - error[y - 1]).max()))
        print(
            f"\n{name}, overlap {overlap}: {np.mean(losses):+.4f} dB lost, {max(losses):+.4f} at the worst image; "
            f"step at a cut {np.median(steps):.0f} levels at the worst pixel of the median image, {max(steps)} of all"
        )
        if overlap == tiling.OVERLAP:
            assert abs(np.mean(losses)) < most_db
