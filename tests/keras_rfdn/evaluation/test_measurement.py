import dataclasses

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import folders, sample
from keras_rfdn.data.system import files
from keras_rfdn.evaluation import measurement, metrics
from keras_rfdn.evaluation.measurement import measure
from keras_rfdn.evaluation.scoring import evaluate_all
from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.upscaling.keras_upscalers import float_from_model, from_model

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="esa", reduction=4, scale=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two HR images, one of an odd size."""
    folder = tmp_path_factory.mktemp("hr")
    for seed, (h, w) in enumerate([(60, 70), (45, 51)]):
        Image.fromarray(sample.dead_leaves(80, seed=seed)[:h, :w]).save(folder / f"{seed}.png")
    return str(folder)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.h5"
    checkpoint.save(models.build(TINY), TINY, path)
    return str(path)


@pytest.mark.parametrize("protocol", ["y", "rgb"])
def test_scores_of_each_image_and_the_mean(folder, weights, protocol):
    report = measure([folder], [weights], protocol=protocol)
    assert (report.protocol, report.scale, report.shave) == (protocol, 2, 2)
    metric = {"y": (metrics.psnr_y, metrics.ssim_y), "rgb": (metrics.psnr, metrics.ssim)}[protocol]
    upscale = from_model(checkpoint.load(weights)[0])
    (by_bicubic,), (by_network,) = (result.sets.values() for result in report.results)
    for name in ("0", "1"):
        hr = bicubic.modcrop(np.asarray(Image.open(f"{folder}/{name}.png")), 2)
        lr = bicubic.downscale(hr, 2)
        for scores, function in ((by_network, upscale), (by_bicubic, lambda lr: bicubic.upscale(lr, 2))):
            wanted = [m(function(lr), hr, shave=2) for m in metric]
            assert list(vars(scores.images[name]).values()) == pytest.approx(wanted)
    psnrs = [score.psnr for score in by_network.images.values()]
    assert by_network.psnr == pytest.approx(sum(psnrs) / 2)  # of dB, not of squared errors


def test_results_say_what_they_are_of(folder, weights):
    by_bicubic, network = measure([folder], [weights], images=1).results
    assert (network.model, network.weights, network.sha256) == ("rfdb", weights, files.sha256(weights))
    cost = complexity.of_config(TINY, 360, 640)
    assert (network.parameters, network.mult_adds) == (cost.parameters, cost.convolution_multiply_adds)
    assert network.versions.keys() == {"tensorflow", "tf_keras", "numpy", "keras_rfdn"}
    assert network.versions["numpy"] == np.__version__
    assert (by_bicubic.model, by_bicubic.weights, by_bicubic.sha256, by_bicubic.parameters) == ("bicubic",) + (
        None,
    ) * 3
    (scores,) = network.sets.values()
    assert list(scores.images) == ["0"]


def test_ensemble_averages_before_it_rounds(weights):
    lr = sample.dead_leaves(24, seed=3)[:20]
    forward = float_from_model(checkpoint.load(weights)[0])
    turned = [np.rot90(forward(np.ascontiguousarray(np.rot90(lr, k))), -k) for k in range(4)]
    flipped = [np.rot90(forward(np.ascontiguousarray(np.rot90(lr, k)[:, ::-1]))[:, ::-1], -k) for k in range(4)]
    hr = np.mean(turned + flipped, axis=0).round().clip(0, 255).astype(np.uint8)
    upscale_functions, report = measurement._open([weights], None, None, "y", True)
    np.testing.assert_array_equal(upscale_functions[1](lr), hr)
    assert [result.ensemble for result in report.results] == [False, True]


def test_a_tflite_stands_beside_weights(folder, weights, open_tflite):
    """Its row tells no parameters: those are its float network's."""
    _, network, tflite_file = measure([folder], [weights, open_tflite], images=1).results
    assert network.parameters is not None
    assert (tflite_file.model, tflite_file.parameters, tflite_file.mult_adds) == ("open", None, None)
    assert tflite_file.sha256 == files.sha256(open_tflite)


def test_what_cannot_be_is_refused_before_the_work(folder, weights, tmp_path, monkeypatch):
    earlier = [measure([folder], [weights], images=1)]
    monkeypatch.setattr(measurement, "_measure", None)
    with pytest.raises(ValueError, match="protocol y and rgb cannot stand side by side"):
        measure([folder], [weights], protocol="rgb", earlier=earlier)
    with pytest.raises(ValueError, match="x2, not any x4"):
        measure([folder], [weights], scale=4)
    three = dataclasses.replace(TINY, scale=3)
    checkpoint.save(models.build(three), three, tmp_path / "three.h5")
    with pytest.raises(ValueError, match=r"three\.h5 holds rfdb x3, not any x2"):
        measure([folder], [weights, tmp_path / "three.h5"])
    with pytest.raises(ValueError, match="shave 2 and 3, scale 2 and 3 cannot"):
        measure([folder], [tmp_path / "three.h5"], earlier=earlier)
    with pytest.raises(ValueError, match="different names"):
        measure([folder, folder], [weights])


def test_images_of_one_name_and_those_left_out(weights, tmp_path, caplog):
    for seed in (0, 1):
        (tmp_path / f"HR/clip{seed}").mkdir(parents=True)
        Image.fromarray(sample.dead_leaves(48, seed=seed)).save(tmp_path / f"HR/clip{seed}/0.png")
    Image.new("I;16", (48, 48), 500).save(tmp_path / "HR/blank.png")
    by_bicubic, network = measure([tmp_path], [weights]).results
    for result in (by_bicubic, network):
        (scores,) = result.sets.values()
        assert list(scores.images) == ["clip0/0", "clip1/0"]
        assert scores.psnr == pytest.approx(np.mean([s.psnr for s in scores.images.values()]))
        assert scores.left_out == {"blank": "HR image of one colour"}
    assert "1 HR images have 16 bits or more a channel and are rounded to 8 (blank.png)" in caplog.text
    for folder in (tmp_path / "HR").glob("clip*"):
        (folder / "0.png").unlink()
    with pytest.raises(ValueError, match=r"could be measured \(blank: HR image of one colour\)"):
        measure([tmp_path], [weights])


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Set5", "Set5"), ("set5/HR", "Set5"), ("Set5/gt", "Set5"), ("mine/GT", "mine"), ("x/HR4", "HR4")],
)
def test_set_names(tmp_path, folder, name):
    assert measurement.set_name(tmp_path / folder) == name


@pytest.mark.parametrize("case", ["02_same_names", "03a_HR_LR", "03b_gt_lq"])
def test_known_scores(shared, case):
    """Of small sets that were scored wrongly once."""
    scores = {"02_same_names": [38.32, 38.57, 44.65], "03a_HR_LR": [7.46, 7.21], "03b_gt_lq": [7.46, 7.21]}[case]
    found = evaluate_all([lambda lr: bicubic.upscale(lr, 4)], folders.find_pairs(shared / "cases" / case, 4), 4)
    assert [score.psnr for score in found.images[0].values()] == pytest.approx(scores, abs=0.006)
