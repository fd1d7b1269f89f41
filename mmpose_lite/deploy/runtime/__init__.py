"""Exported networks run with numpy, OpenCV and an engine: no torch, no MMPose."""

from .contract import Contract, contract_path, load_contract, model_paths
from .engines import ENGINES, Session, open_engine
from .extras import extra
from .pose import PoseNetwork, PoseRuntime

__all__ = [
    'ENGINES',
    'Contract',
    'PoseNetwork',
    'PoseRuntime',
    'Session',
    'contract_path',
    'extra',
    'load_contract',
    'model_paths',
    'open_engine',
]
