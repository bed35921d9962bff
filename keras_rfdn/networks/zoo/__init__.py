"""Model zoo: the rivals in the paper's Table 3, and networks that came after RFDN, each in a file of its own.

Each is a function (x, config) -> sr: x float RGB [n, h, w, 3] in 0..1, config.scale 2, 3 or 4, sr float32 RGB
[n, h * scale, w * scale, 3]. A row here is a row of keras_rfdn.networks.config.VARIANTS of the same name.
"""

from keras_rfdn.networks.zoo.bsrn import bsrn
from keras_rfdn.networks.zoo.carn import carn, carn_m
from keras_rfdn.networks.zoo.drcn import drcn
from keras_rfdn.networks.zoo.drrn import drrn
from keras_rfdn.networks.zoo.efdn import efdn
from keras_rfdn.networks.zoo.fsrcnn import fsrcnn
from keras_rfdn.networks.zoo.idn import idn
from keras_rfdn.networks.zoo.lapsrn import lapsrn
from keras_rfdn.networks.zoo.lapsrn_tf import lapsrn_tf
from keras_rfdn.networks.zoo.lkdn import lkdn
from keras_rfdn.networks.zoo.memnet import memnet
from keras_rfdn.networks.zoo.rlfn import rlfn
from keras_rfdn.networks.zoo.span import span
from keras_rfdn.networks.zoo.srcnn import srcnn
from keras_rfdn.networks.zoo.srmdnf import srmdnf
from keras_rfdn.networks.zoo.vdsr import vdsr

NETWORKS = {
    "srcnn": srcnn,
    "fsrcnn": fsrcnn,
    "vdsr": vdsr,
    "drcn": drcn,
    "lapsrn": lapsrn,
    "lapsrn-tf": lapsrn_tf,
    "drrn": drrn,
    "memnet": memnet,
    "idn": idn,
    "srmdnf": srmdnf,
    "carn": carn,
    "carn-m": carn_m,
    "rlfn": rlfn,
    "bsrn": bsrn,
    "lkdn": lkdn,
    "span": span,
    "efdn": efdn,
}
