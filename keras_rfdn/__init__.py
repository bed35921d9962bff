"""RFDN (residual feature distillation network, arXiv 2009.11551) in TensorFlow/Keras."""

__version__ = "0.1.0"
