"""Progress of a training: loss, speed and time lost to waiting for data, in the log and TensorBoard."""

import datetime
import math
import time

import tensorflow as tf
from absl import logging

SILENCE = 30.0  # seconds without a line, after which heartbeat logs one


class Progress:
    """Sums since the last report, from which the next one is made."""

    def __init__(self, start: int, steps: int):
        """start: the update that a run resumes from. steps: its last."""
        self.steps, self.psnr_y = steps, math.nan  # psnr_y: of the last validation, set from outside
        self.loss, self.images_per_second, self.data_wait = math.nan, math.nan, math.nan
        self._begin(start)

    def _begin(self, step):
        self.losses, self.images, self.waited = [], 0, 0.0
        self.reported_step, self.reported_at = step, time.monotonic()
        self.logged_at = self.reported_at

    def add(self, loss: tf.Tensor, images: int, waited: float) -> None:
        """Count an update: loss, a scalar tensor; images of its batch; seconds that it waited for them."""
        self.losses.append(loss)
        self.images += images
        self.waited += waited

    def mean_loss(self) -> float:
        """Mean loss since the last report, or that report's when nothing came since."""
        if self.losses:
            self.loss = float(tf.reduce_mean(self.losses))
        return self.loss

    def heartbeat(self, step: int) -> None:
        """Log a line where updates are so slow that the last one is SILENCE seconds ago; it waits for no result."""
        if time.monotonic() - self.logged_at >= SILENCE:
            self.logged_at = time.monotonic()
            logging.info("step %d/%d  left %s", step, self.steps, self._left(step))

    def _left(self, step):
        """Time that the updates after a step will take, at the speed since the last report."""
        seconds = time.monotonic() - self.reported_at
        return datetime.timedelta(seconds=round((self.steps - step) * seconds / (step - self.reported_step)))

    def report(self, step: int, learning_rate: float) -> None:
        """Report: a line in the log and TensorBoard's scalars; the sums start anew."""
        loss, seconds = self.mean_loss(), time.monotonic() - self.reported_at
        self.images_per_second, self.data_wait = self.images / seconds, self.waited / seconds
        valid = "" if math.isnan(self.psnr_y) else f"  valid {self.psnr_y:.2f} dB"
        logging.info(
            "step %d/%d  loss %.3f%s  %.1f images/s, %.0f%% waiting for data  left %s",
            *(step, self.steps, loss, valid, self.images_per_second, 100 * self.data_wait, self._left(step)),
        )
        scalars = {"loss": loss, "learning_rate": learning_rate}
        scalars |= {"images_per_second": self.images_per_second, "data_wait": self.data_wait}
        for name, value in scalars.items():
            tf.summary.scalar(f"train/{name}", value, step)
        self._begin(step)
