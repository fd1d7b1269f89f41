"""Paddle's files are read to the bit, refused with the reason, and never run."""

import json
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch

import mmpose_lite.models  # noqa: F401  (first: it makes MMPose importable)
from mmpose_lite.checkpoints import convert, read_checkpoint, translate
from mmpose_lite.checkpoints.convert import recognise
from mmpose_lite.models.backbones import LiteHRNet

RNG = np.random.default_rng(0)
ARRAYS = {
    'a.weight': RNG.standard_normal((3, 2, 1, 1)).astype('f4'),
    'a.bias': RNG.standard_normal(3).astype('f4'),
    'empty': np.zeros((0, 3), 'f4'),
    'one': np.array(0.5, 'f4'),
    'columns': np.asfortranarray(RNG.standard_normal((2, 3, 4)).astype('f4')),
}
TABLE = {'StructuredToParameterName@@': {'a.weight': 'conv2d_0.w_0'}}
PAIRS = {
    key: (f'conv2d_{i}.w_0', value) for i, (key, value) in enumerate(ARRAYS.items())
}
SAVED = {
    'with a name table': {**ARRAYS, **TABLE},
    'arrays alone': ARRAYS,
    'ordered': OrderedDict(ARRAYS),
    'pairs beside a number': {**PAIRS, 'last_epoch': 3},
    'nested': {'model': OrderedDict(PAIRS)},
    'nested beside a number': {'model': OrderedDict({**ARRAYS, **TABLE}), 'epoch': 3},
}


def save(path, content, protocol=4):
    """Pickle as ``paddle.save`` does."""
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize('protocol', [2, 3, 4])
@pytest.mark.parametrize('content', SAVED.values(), ids=SAVED)
def test_arrays_are_read_to_the_bit(content, protocol, tmp_path):
    read = read_checkpoint(save(tmp_path / 'x.pdparams', content, protocol))
    beside = {k: v for k, v in content.items() if k in ('epoch', 'last_epoch')}
    weights = read.pop('state_dict') if beside else read
    assert list(weights) == list(ARRAYS)
    for key, array in ARRAYS.items():
        assert weights[key].dtype == torch.float32
        np.testing.assert_array_equal(weights[key].numpy(), array)
    assert not beside or read == beside


@pytest.mark.parametrize(
    ('code', 'dtype'),
    [('f2', torch.float16), ('f8', torch.float64), ('u2', torch.bfloat16)],
)
def test_other_floats(code, dtype, tmp_path):
    values = torch.tensor([1.0, -2.5, 0.0]).to(dtype)
    bits = values.view(torch.int16).numpy() if code == 'u2' else values.numpy()
    path = save(tmp_path / 'x.pdparams', {'a': bits.view(code)})
    read = read_checkpoint(path)['a']
    assert read.dtype == dtype
    assert torch.equal(read, values)


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.parts = (function, args)

    def __reduce__(self):
        return self.parts


def state(*, shape=(2,), code='f4', order='<', data=bytes(8), version=1):
    """An array as numpy pickles it, with a part that numpy would not write."""
    dtype = np.dtype(code).newbyteorder(order)
    # numpy's own function, which has moved from numpy.core to numpy._core.
    rebuild = np.zeros(1).__reduce__()[0]
    array = Call(rebuild, np.ndarray, (0,), b'b')
    array.parts = (*array.parts, (version, shape, dtype, False, data))
    return {'a': array}


REFUSED = {
    'other globals': ({'a': Call(eval, '1')}, r'refused.*builtins\.eval'),
    'objects': (state(code='O'), "type 'O8'"),
    'integers': ({'a': np.arange(3)}, "a is of type 'i8'"),
    'text': ({'a': np.array(['x'])}, "type 'U1'"),
    'foreign byte order': (state(order='>'), "byte order '>'"),
    'too few bytes': (state(data=bytes(7)), r'a has 7 bytes, \(2,\) needs 8'),
    'too many bytes': (state(data=bytes(9)), r'a has 9 bytes, \(2,\) needs 8'),
    'a negative size': (state(shape=(-2, -1)), r'a has the shape \(-2, -1\)'),
    'a bomb': (state(shape=(1 << 40,)), 'a has 8 bytes'),
    'optimizer state': ({'conv2d_0.w_0_moment1_0': ARRAYS['one']}, 'optimizer'),
    'a static graph': ({'conv2d_0.w_0': ARRAYS['one']}, 'static graph'),
    'cut arrays': ({'a@@.0': ARRAYS['one'], 'UnpackBigParamInfor@@': {}}, 'cut into'),
    'no weights': ({'epoch': 3}, 'holds no weights'),
    'a list': ([ARRAYS['one']], 'holds a list'),
    'NaN': ({'a': np.float32([np.nan])}, 'NaN or infinite values in a'),
}


@pytest.mark.parametrize(('content', 'reason'), REFUSED.values(), ids=REFUSED)
def test_refusals_name_the_reason(content, reason, tmp_path):
    path = save(tmp_path / 'x.pdparams', content)
    with pytest.raises(ValueError, match=reason) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


def test_damage_is_reported(tmp_path):
    whole = pickle.dumps({**ARRAYS, **TABLE}, 4)
    path = tmp_path / 'x.pdparams'
    # A place for an object far beyond their number would fill the memory.
    far = whole[:-1] + b'r' + (1 << 31).to_bytes(4, 'little') + b'.'
    for data in (whole[:-1], whole[: len(whole) // 2], whole + b'x', far):
        path.write_bytes(data)
        with pytest.raises(ValueError, match='damaged or no checkpoint'):
            read_checkpoint(path)


# --- Files that Paddle wrote -----------------------------------------------------

UNNAMED = ('.pdopt', 'static_save.pdparams', 'static_state_dict.pdparams')


def test_everything_that_paddle_saves(shared, reference_fill):
    """Every variant holds the same 32 arrays, or is refused."""
    folder = shared / 'reference' / 'paddle'
    named = json.loads((folder / 'layouts/paddle_tinypose_256x192.json').read_text())
    seen = 0
    for path in sorted((folder / 'variants').glob('*/*')):
        if path.name.endswith(UNNAMED):
            with pytest.raises(ValueError, match=r'optimizer|static graph|no weights'):
                read_checkpoint(path)
            continue
        content = read_checkpoint(path)
        weights = content.get('state_dict', content)
        assert len(weights) == 32, path
        tolerance = {'float16': 1e-3, 'bfloat16': 8e-3, 'ppdet_ema': 1e-6}
        for key, tensor in weights.items():
            expected = reference_fill.fill(named['our_key'][key], tuple(tensor.shape))
            expected = torch.as_tensor(expected).double()
            error = (tensor.double() - expected).abs().max()
            assert error <= tolerance.get(path.stem, 0) * expected.abs().max(), path
        seen += 1
    assert seen >= 32


def test_layouts_are_told_apart(shared):
    """By names alone, as in the files that are published."""
    folder = shared / 'reference' / 'paddle' / 'layouts'
    for path in folder.glob('*.json'):
        named = json.loads(path.read_text())['state_dict']
        depth = re.search('lite_hrnet_(18|30)', path.name)
        kind = f'Lite-HRNet-{depth[1]}' if depth else 'wider naive'
        assert kind in recognise(named).name, path


FILES = {
    'wider_naive.pdparams': ('wider-naive-18', 'tinypose_256x192'),
    'lite_18.pdparams': ('18', 'lite_hrnet_18_256x192_coco'),
}


@pytest.mark.parametrize('file', FILES)
def test_outputs_equal_paddles(file, shared, reference_fill):
    """Strict load, and heatmaps in double precision within 5e-6 of the largest."""
    folder = shared / 'reference' / 'paddle'
    arch, name = FILES[file]
    conversion = translate(read_checkpoint(folder / 'weights' / file))
    assert 'PaddleDetection' in conversion.layout.name
    named = json.loads((folder / f'layouts/paddle_{name}.json').read_text())
    ours = {key for key in conversion.state_dict if 'num_batches' not in key}
    assert ours == set(named['our_key'].values())
    backbone = LiteHRNet(arch=arch)
    head = torch.nn.Conv2d(40, 17, 1)
    parts = {'backbone': backbone, 'head.final_layer': head}
    for prefix, part in parts.items():
        start = f'{prefix}.'
        part.load_state_dict(
            {
                key.removeprefix(start): value
                for key, value in conversion.state_dict.items()
                if key.startswith(start)
            },
            strict=True,
        )
        part.double().eval()
    golden = np.load(folder / f'outputs/paddle_{name}.npz')
    height, width = named['input_size']
    image = torch.as_tensor(reference_fill.image(height, width)).double()
    with torch.no_grad():
        heatmaps = head(backbone(image)[0]).numpy()
    expected = golden['heatmaps_f64']
    assert np.abs(heatmaps - expected).max() <= 5e-6 * np.abs(expected).max()
    assert convert(conversion.state_dict).keys() == conversion.state_dict.keys()
