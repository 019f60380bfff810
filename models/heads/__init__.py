"""Detection heads: from raw maps to boxes, with anchors and without; HEADS lists their classes.

A row named Detect is the head of the graph's family (HEAD_OF_FAMILY); every other head needs its
own name and entry in models/graph/layers.py. One that exists for both families is listed in
V8_FORMS with its class for graphs without anchors.
"""

from collections.abc import Mapping

from torch import nn

from models.heads.anchor_based import Detect
from models.heads.anchor_free import DetectV8
from models.heads.asff import ASFFDetect, ASFFDetectV8
from utils.families import V5, V8

Head = Detect | DetectV8
HEADS = (Detect, DetectV8)
HEAD_OF_FAMILY: Mapping[str, type[Head]] = {V5.name: Detect, V8.name: DetectV8}
V8_FORMS: Mapping[type[nn.Module], type[Head]] = {ASFFDetect: ASFFDetectV8}
