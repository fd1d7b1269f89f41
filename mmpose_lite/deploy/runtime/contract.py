"""What an exported network expects, what it returns, and where it came from.

The contract lies beside the model as json, and without digests and proof also within
it. It is all that is needed to run the model as MMPose would.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

SCHEMA = 1  # version of the contract's entries
FORMATS = {'onnx': ('.onnx',), 'openvino': ('.xml', '.bin'), 'native': ('.so',)}
"""Format to the suffixes of its files, that of the path which users name first."""
PRECISIONS = ('fp32', 'fp16', 'int8')  # int8 is read, of older files, and not written
METADATA_KEY = 'mmpose_lite'  # under which a model file holds its contract


@dataclass(frozen=True)
class Contract:
    """Everything needed to run an exported network; sizes are (w, h).

    Attributes:
        mean: Per channel of the network's input, of values 0 to 255.
        std: Divides what is left after ``mean`` is subtracted.
        channel_order: ``'rgb'`` or ``'bgr'``, of the network's input.
        input_size: Of the crop, px.
        heatmap_size: Of the output, px; of codecs with vectors, their lengths.
        codec: MMPose's name of what the heatmaps mean, a key of ``DECODERS``.
        use_udp: Whether crops are cut with unbiased coordinates.
        box_padding: Factor on boxes before they are cut.
        flip_test: Whether the config evaluates with mirrored images too.
        shift_heatmap: Whether the mirrored image's heatmap moves right by one pixel.
        keypoint_names: In the order of the output's channels.
        skeleton: Pairs of keypoints to draw a line between.
        flip_pairs: Pairs of keypoints that a mirror swaps.
        batch: Crops per run; None is any number.
        source: Names of config, checkpoint and data set.
        sha256: Suffix of each file of the model to its digest; empty within a model.
        verified: Measured differences from PyTorch; empty within a model.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str
    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    codec: str
    codec_options: Mapping[str, Any]
    use_udp: bool
    box_padding: float
    flip_test: bool
    shift_heatmap: bool
    keypoint_names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    format: str = 'onnx'
    precision: str = 'fp32'
    batch: int | None = 1
    optimized: bool = True
    opset: int = 17
    source: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    verified: Mapping[str, float] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        keypoints = range(len(self.keypoint_names))
        pairs = [*self.skeleton, *self.flip_pairs]
        checks: dict[str, tuple[bool, str]] = {
            'mean': (len(self.mean) == 3, 'three numbers'),
            'std': (len(self.std) == 3 and min(self.std) > 0, 'three numbers above 0'),
            'channel_order': (self.channel_order in ('rgb', 'bgr'), "'rgb' or 'bgr'"),
            'input_size': (min(self.input_size) > 1, 'two sizes above 1'),
            'heatmap_size': (min(self.heatmap_size) > 1, 'two sizes above 1'),
            'box_padding': (self.box_padding > 0, 'above 0'),
            'keypoint_names': (len(keypoints) > 0, 'at least one name'),
            'skeleton': (
                all(i in keypoints for pair in pairs for i in pair),
                f'of keypoints below {len(keypoints)}, like flip_pairs',
            ),
            'format': (self.format in FORMATS, f'one of {tuple(FORMATS)}'),
            'precision': (self.precision in PRECISIONS, f'one of {PRECISIONS}'),
            'batch': (self.batch is None or self.batch > 0, 'above 0 or none'),
        }
        for name, (holds, wanted) in checks.items():
            if not holds:
                raise ValueError(f'{name} must be {wanted}, got {getattr(self, name)}')

    @property
    def flip_indices(self) -> list[int]:
        """Keypoint to the one that it becomes in a mirror."""
        indices = list(range(len(self.keypoint_names)))
        for first, second in self.flip_pairs:
            indices[first], indices[second] = second, first
        return indices

    def inner(self) -> Contract:
        """The part that a model file can hold itself."""
        return replace(self, sha256={}, verified={})

    def to_json(self) -> str:
        """The contract as text of several lines."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Read what :meth:`to_json` wrote; ValueError if it is something else."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f'the contract is not json: {error}') from error
        if not isinstance(values, dict):
            raise ValueError('the contract must be a json object')
        if values.get('schema', SCHEMA) != SCHEMA:
            raise ValueError(
                f'the contract was written by another version of mmpose_lite: its '
                f'schema is {values["schema"]!r}, {SCHEMA} is read here'
            )
        kinds = get_type_hints(cls)
        odd = sorted(set(values) ^ set(kinds))
        if odd:
            raise ValueError(f'the contract lacks, or has too many, entries: {odd}')
        for name, value in values.items():
            try:
                values[name] = _read(kinds[name], value)
            except TypeError as error:
                raise ValueError(f'{name} of the contract is {value!r}') from error
        return cls(**values)


def _read(kind: Any, value: Any) -> Any:
    """A json value as an annotation wants it; TypeError if it is something else."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is tuple and isinstance(value, list):
        kinds = parts[:1] * len(value) if parts[1:] == (...,) else parts
        if len(kinds) == len(value):
            return tuple(map(_read, kinds, value))
    elif origin is Mapping and isinstance(value, dict):
        return {name: _read(parts[1], entry) for name, entry in value.items()}
    elif origin is UnionType:  # of something and None
        return None if value is None else _read(parts[0], value)
    elif kind is float and type(value) in (int, float):
        return float(value)
    elif type(value) is kind:
        return value
    raise TypeError


def contract_path(file: str | os.PathLike[str]) -> Path:
    """Where the contract of a model lies: ``model.onnx.json`` for ``model.onnx``."""
    path = Path(file)
    return path.with_name(f'{path.name}.json')


def model_paths(file: str | os.PathLike[str], form: str) -> dict[str, Path]:
    """Suffix to path of every file of a model; ValueError for another first suffix."""
    path, suffixes = Path(file), FORMATS[form]
    if path.suffix != suffixes[0]:
        raise ValueError(
            f'a model of the format {form} must be named *{suffixes[0]}, got {path}'
        )
    return {suffix: path.with_suffix(suffix) for suffix in suffixes}


def digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file's content."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}


def load_contract(file: str | os.PathLike[str]) -> tuple[Contract, dict[str, bytes]]:
    """Contract, and suffix to content, of a model that lies beside its contract.

    Raises:
        OSError: If a file is missing.
        ValueError: If a model's file is not what was exported, or the contract is
            damaged; the message names the file.
    """
    path = contract_path(file)
    if not path.is_file() and Path(file).is_file():
        raise FileNotFoundError(
            f'{path} is missing: a model is only run with its contract; copy both'
        )
    try:
        contract = Contract.from_json(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    paths = model_paths(file, contract.format)
    contents = {suffix: path.read_bytes() for suffix, path in paths.items()}
    found = digests(contents)
    for suffix, path in paths.items():
        if found[suffix] != contract.sha256.get(suffix):
            raise ValueError(
                f'{path} is not the file that was exported: its SHA-256 is '
                f'{found[suffix]}, the contract says {contract.sha256.get(suffix)}'
            )
    return contract, contents
