"""Summary of a finished training: summary.json and curve.png in its workdir."""

import numpy as np

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.system import files
from keras_rfdn.evaluation import metrics, plots
from keras_rfdn.networks.config import name_of
from keras_rfdn.training import workdir
from keras_rfdn.training.trainer import Trainer


def write_summary(trainer: Trainer, recipe: str | None = None) -> dict:
    """Summary of a run that has reached its last update: writes both files and returns what summary.json says."""
    records = workdir.records(trainer.folder)
    reports = [record for record in records if record["step"]]  # the weights that it starts from took no time
    scale = trainer.model_config.scale
    baseline = [metrics.psnr_y(bicubic.upscale(lr, scale), hr, shave=scale) for _, lr, hr in trainer.valid]
    best = max(records, key=lambda record: record["psnr_y"])
    summary = {
        "variant": name_of(trainer.model_config),
        "scale": scale,
        "recipe": recipe,
        "parameters": trainer.float_model.count_params(),  # as it runs: branches of a training are merged
        "steps": records[-1]["step"],
        "hours": records[-1]["hours"],
        "best_psnr_y": best["psnr_y"],
        "best_step": best["step"],
        "last_psnr_y": records[-1]["psnr_y"],
        "bicubic_psnr_y": float(np.mean(baseline)),
        "images_per_second": float(np.median([record["images_per_second"] for record in reports])),
        "data_wait": float(np.median([record["data_wait"] for record in reports])),
    }
    files.write_json(trainer.folder / "summary.json", summary)
    plots.curve(records, trainer.folder / "curve.png", baseline=summary["bicubic_psnr_y"])
    return summary
