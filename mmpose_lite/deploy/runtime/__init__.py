"""Running exported networks with numpy, OpenCV and an engine: no torch, no MMPose."""

from .codecs import DECODERS, decode
from .contract import (
    Contract,
    contract_path,
    digests,
    load_contract,
    model_paths,
)
from .engines import ENGINES, PRECISION_HINTS
from .extras import extra
from .pose import PoseRuntime

__all__ = [
    'DECODERS',
    'ENGINES',
    'PRECISION_HINTS',
    'Contract',
    'PoseRuntime',
    'contract_path',
    'decode',
    'digests',
    'extra',
    'load_contract',
    'model_paths',
]
