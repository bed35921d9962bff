"""RFDN (residual feature distillation network, arXiv 2009.11551) in TensorFlow/Keras."""
