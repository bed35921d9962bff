"""Image sources, MATLAB's bicubic degradation and `tf.data` streams of LR/HR patches."""
