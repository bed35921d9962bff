import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.training import optimizers
from keras_rfdn.training.optimizers import Muon


@pytest.mark.parametrize("shape", [(450, 50), (12, 108), (32, 32)])
def test_orthogonal_has_the_singular_vectors_of_an_svd(rng, shape):
    matrix = rng.normal(size=shape).astype(np.float32)
    u, values, vt = np.linalg.svd(matrix, full_matrices=False)
    core = u.T @ optimizers.orthogonal(tf.constant(matrix)).numpy() @ vt.T
    assert values.max() / values.min() > 1.5
    np.testing.assert_allclose(core, np.diag(np.diag(core)), atol=1e-4)
    # At the smallest values, near 0 in the square matrix, the five rounds have not arrived yet.
    large = values > 0.02 * np.linalg.norm(matrix)
    assert np.diag(core)[large].min() > 0.65
    assert np.diag(core).max() < 1.25


def test_kernels_move_as_in_pytorch(rng):
    """torch.optim.Muon on the same matrices; it orthogonalizes in bfloat16."""
    torch = pytest.importorskip("torch")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("needs PyTorch 2.9 or newer")
    start = rng.normal(0, 0.1, (3, 3, 16, 8)).astype(np.float32)
    gradients = rng.normal(size=(3, *start.shape)).astype(np.float32)
    ours, theirs = tf.Variable(start), torch.nn.Parameter(torch.tensor(start.reshape(-1, 8)))
    muon = Muon(1e-2, decay=10)
    peer = torch.optim.Muon([theirs], lr=1e-2, weight_decay=10, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        muon.apply_gradients([(tf.constant(gradient), ours)])
        theirs.grad = torch.tensor(gradient.reshape(-1, 8))
        peer.step()
    moved, wanted = (w.reshape(-1, 8) - start.reshape(-1, 8) for w in (ours.numpy(), theirs.detach().numpy()))
    assert np.abs(moved - wanted).max() < 0.03 * np.abs(wanted).max()


def test_biases_and_kernels_on_pixels_move_as_by_adam(rng):
    shapes = [(8,), (3, 3, 3, 8)]
    starts = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    results = []
    for optimizer in (Muon(1e-2, epsilon=1e-8), keras.optimizers.Adam(1e-2, epsilon=1e-8)):
        variables = [tf.Variable(start) for start in starts]
        for i in range(1, 4):
            optimizer.apply_gradients([(tf.sin(i * start), v) for start, v in zip(starts, variables, strict=True)])
        results.append([v.numpy() for v in variables])
    for muon, adam in zip(*results, strict=True):
        np.testing.assert_array_equal(muon, adam)


def test_the_root_mean_square_of_an_update_is_a_fifth_of_the_learning_rate(rng):
    kernel = tf.Variable(tf.zeros([3, 3, 16, 16]))
    Muon(1e-2).apply_gradients([(tf.constant(rng.normal(size=kernel.shape), tf.float32), kernel)])
    assert np.sqrt(np.square(kernel.numpy()).mean()) == pytest.approx(0.2e-2, rel=0.2)


def test_serialised():
    again = keras.optimizers.deserialize(keras.optimizers.serialize(Muon(3e-3, momentum=0.9, decay=0.2)))
    assert (float(again.learning_rate), again.momentum, again.decay) == (pytest.approx(3e-3), 0.9, 0.2)
