"""Model zoo: the rivals in the paper's Table 3, and networks that came after RFDN, each in a file of its own.

Each is a function (x, config) -> sr: x float RGB [n, h, w, 3] in 0..1, config.scale 2, 3 or 4, sr float32 RGB
[n, h * scale, w * scale, 3]. A row here is a row of keras_rfdn.networks.config.VARIANTS of the same name.
"""

NETWORKS = {}
