"""RFDN (residual feature distillation network, arXiv 2009.11551): super-resolution, from training to int8 TFLite.

    import keras_rfdn

    sr = keras_rfdn.upscale_image(lr)              # uint8 RGB [h, w, 3] or a Pillow image -> the same kind, 4 times
    up = keras_rfdn.Upscaler("rfdn-mobile-x2")     # the same with other weights, opened once
    sr = up(lr)

These two need no TensorFlow, and are loaded when they are asked for. In a process that has imported this package,
tf_keras.models.load_model knows its layers.
"""

from keras_rfdn.networks.registration import register_with_keras

__version__ = "0.1.0"
__all__ = ["Upscaler", "__version__", "upscale_image"]

register_with_keras()


def __getattr__(name):
    if name == "Upscaler":
        from keras_rfdn.upscaling.upscaler import Upscaler

        return Upscaler
    if name == "upscale_image":
        from keras_rfdn.upscaling.upscaler import upscale_image

        return upscale_image
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
