"""Optimizers of the trainer: Adam, and Muon, with which a network of this family needs far fewer updates."""

import tensorflow as tf
import tf_keras as keras

# Newton-Schulz's quintic: five rounds bring every singular value near 1 (Jordan et al. 2024, kellerjordan.github.io).
COEFFICIENTS, ROUNDS = (3.4445, -4.7750, 2.0315), 5
RMS = 0.2  # root mean square of an update at learning rate 1, about Adam's (arXiv 2502.16982, section 2.2)


@keras.saving.register_keras_serializable("keras_rfdn")
class Adam(keras.optimizers.Adam):
    """Keras's Adam, but the moving average of the weights is of what updates made of them.

    Keras's begins with the weights before the first update, and of a layer that began at random a decay of 0.999 keeps
    8 % after 2,500 updates. Here it is divided, as Adam's moments are, by what the updates weigh together (Kingma and
    Ba 2015, section 3).
    """

    def _update_model_variables_moving_average(self, var_list):
        momentum, before = self.ema_momentum, tf.cast(self.iterations, tf.float64)  # updates before this one
        self.ema_momentum = tf.cast(momentum * (1 - momentum**before) / (1 - momentum ** (before + 1)), tf.float32)
        super()._update_model_variables_moving_average(var_list)
        self.ema_momentum = momentum


@keras.saving.register_keras_serializable("keras_rfdn")
class Muon(Adam):
    """Muon for the kernels of convolutions, Adam for biases and for kernels on an image's three channels.

    A kernel [h, w, in, out] is taken as the matrix [h * w * in, out]. Its update is Nesterov's momentum with all
    singular values made equal: small gradients that many outputs share get the same weight as the large ones.
    Directions without any gradient get as large updates as the others, so kernels grow without end unless they decay.
    Source: Jordan et al. 2024; an update's scale and decay are those of Liu et al. 2025 (arXiv 2502.16982, equation 4).

    decay: of kernels, in each update by this times the learning rate.
    """

    def __init__(self, learning_rate=1e-3, momentum=0.95, decay=0.1, name="muon", **kwargs):
        super().__init__(learning_rate, name=name, **kwargs)
        self.momentum, self.decay = momentum, decay

    def update_step(self, gradient, variable):
        is_hidden_kernel = variable.shape.rank == 4 and variable.shape[2] > 3
        if not is_hidden_kernel:
            super().update_step(gradient, variable)
            return
        average = self._momentums[self._index_dict[self._var_key(variable)]]
        average.assign(self.momentum * average + gradient)
        update = orthogonal(tf.reshape(gradient + self.momentum * average, [-1, variable.shape[-1]]))
        update = RMS * max(update.shape) ** 0.5 * tf.reshape(update, variable.shape) + self.decay * variable
        variable.assign_sub(tf.cast(self.learning_rate, variable.dtype) * update)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "decay": self.decay}


def orthogonal(matrix: tf.Tensor) -> tf.Tensor:
    """Orthogonalization of a float32 matrix [m, n]: brings singular values to about 1 (0.7 to 1.2) by Newton-Schulz.

    Directions with less than some thousandth of the matrix's norm stay smaller.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = tf.transpose(matrix) if tall else matrix
    x /= tf.norm(x) + 1e-7
    for _ in range(ROUNDS):
        square = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
    return tf.transpose(x) if tall else x


OPTIMIZERS = {"adam": Adam, "muon": Muon}
