"""Each patch works, its cause is real, and none opens the safe loader.

What changes a process for good (imports, registered ops, process groups) runs in a
subprocess, once with the patch and once without it.
"""

import os
import pickle
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command_line import python
from conftest import ROOT
from mmengine.logging import HistoryBuffer

from mmpose_lite import compat
from mmpose_lite.compat import distributions, mmcv_ops

# compat alone: importing the package makes every patch.
FILE = ROOT / 'mmpose_lite' / 'compat' / '__init__.py'
COMPAT = f"""
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location('compat', {str(FILE)!r})
compat = module_from_spec(spec)
spec.loader.exec_module(compat)
"""


# mmengine's Runner imports torchvision: with the other patch it gets further.
TORCHVISION = (
    f"{COMPAT}\ncompat.when_imported('torchvision', compat._patch_torchvision)\n"
)


def works(code, cwd, **variables):
    """What code prints that must run to its end."""
    done = python('-c', code, cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def error_of(code, cwd, **variables):
    """What code that must fail writes to stderr."""
    done = python('-c', code, cwd=cwd, **variables)
    assert done.returncode != 0
    return done.stderr


# --- torchvision ------------------------------------------------------------------


@pytest.fixture(scope='module')
def broken_torchvision(tmp_path_factory):
    """Skip where torchvision loads: there is nothing to patch then."""
    done = python('-c', 'import torchvision', cwd=tmp_path_factory.mktemp('plain'))
    if done.returncode == 0:
        pytest.skip(
            "this torchvision's compiled part fits this torch, so the failure that "
            'the patch is for cannot occur here'
        )
    return done.stderr


def test_mmpose_can_be_imported_with_patch_only(broken_torchvision, tmp_path):
    lacking = 'operator torchvision::nms does not exist'
    assert lacking in broken_torchvision
    # What is missing otherwise is another patch's concern.
    code = """
import sys
from unittest.mock import MagicMock
for name in ('', '.coco', '.cocoeval', '.mask'):
    sys.modules[f'xtcocotools{name}'] = MagicMock()
sys.modules['mmcv._ext'] = MagicMock()
import mmpose.apis
"""
    assert lacking in error_of(code, tmp_path)
    code = """
import mmpose_lite, mmpose.apis, torchvision
assert mmpose_lite.compat.RECORD['torchvision ops'].startswith('patched')
"""
    assert works(code, tmp_path) == ''


FAKES = {
    'working': ('', 'not needed'),
    'otherwise broken': ('raise RuntimeError("no disk")', 'left alone'),
}


@pytest.mark.parametrize(('source', 'expected'), FAKES.values(), ids=FAKES)
def test_torchvision_is_left_alone_unless_ops_are_missing(source, expected, tmp_path):
    code = f"""{COMPAT}
import torch
compat.patch()
try:
    import torchvision
except RuntimeError as error:
    assert str(error) == 'no disk'
record = compat.RECORD['torchvision ops']
assert record.startswith({expected!r}), record
assert compat._KEPT not in vars(torch.ops.torchvision)
"""
    (tmp_path / 'torchvision').mkdir()
    (tmp_path / 'torchvision' / '__init__.py').write_text(source)
    # The fake comes first on the path: `-c` puts the working directory there.
    works(code, tmp_path)


# --- checkpoints --------------------------------------------------------------------

TRAIN = """
import numpy as np, torch, sys
from mmengine.model import BaseModel
from mmengine.runner import Runner

class Data(torch.utils.data.Dataset):
    metainfo = dict(colors=np.arange(6, dtype=np.uint8), sigmas=np.ones(3, np.float32))
    def __len__(self): return 4
    def __getitem__(self, index): return dict(inputs=torch.ones(1))

class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
    def forward(self, inputs, mode):
        return dict(loss=self.layer(torch.stack(list(inputs))).square().mean())

def runner(epochs, **kwargs):
    return Runner(
        model=Net(), work_dir='work', experiment_name=f'e{epochs}', log_level='ERROR',
        train_dataloader=dict(
            dataset=Data(), batch_size=2, num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=1e-3)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        **kwargs)
"""
RESUME = """
again = runner(2, load_from='work/epoch_1.pth', resume=True)
again.train()
assert again.iter == 4, again.iter
history = again.message_hub.get_scalar('train/loss')
assert len(history.data[0]) == 4, history.data
assert history.mean() > 0
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Folder with a checkpoint that mmengine's own Runner wrote after one epoch."""
    folder = tmp_path_factory.mktemp('trained')
    works(f'{TORCHVISION}{TRAIN}\nrunner(1).train()', folder)
    assert (folder / 'work' / 'epoch_1.pth').is_file()
    return folder


def test_resume_works_with_patch_only(trained):
    error = error_of(TORCHVISION + TRAIN + RESUME, trained)
    assert 'Unsupported global' in error
    assert 'weights_only' in error
    works(f'{COMPAT}\ncompat.patch()\n{TRAIN}{RESUME}', trained)


def test_what_mmengine_writes_survives(tmp_path):
    arrays = {
        code: np.arange(3).astype(code) for code in compat._DTYPE_CODES if code != 'b1'
    }
    arrays['2d'] = np.arange(6.0).reshape(2, 3)
    arrays['empty'] = np.array([])  # colours of a skeleton without links
    written = {
        'arrays': arrays,
        'flag': np.array([True, False]),
        'scalars': [np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True)],
        'history': HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1]),
    }
    torch.save(written, tmp_path / 'c.pth')
    read = torch.load(tmp_path / 'c.pth', weights_only=True)
    assert read['scalars'] == written['scalars']
    assert [type(s) for s in read['scalars']] == [type(s) for s in written['scalars']]
    np.testing.assert_array_equal(read['flag'], written['flag'])
    for name, array in arrays.items():
        np.testing.assert_array_equal(read['arrays'][name], array)
        assert read['arrays'][name].dtype == array.dtype
    assert read['history'].mean() == 3.0
    assert read['history'].statistics('max') == 6.0


class Call:
    """Pickles as a call of ``function(*args)``, either of which may be a Call."""

    def __init__(self, function, *args):
        self.parts = (function, args)

    def __reduce__(self):
        return self.parts

    def __call__(self):
        """Make pickle believe that the result can be called."""


def chain_from(function):
    """From a function's globals to ``exec``, by nothing but getattr and calls."""
    scope = Call(getattr, function, '__globals__')
    builtins = Call(Call(getattr, scope, '__getitem__'), '__builtins__')
    return Call(Call(getattr, builtins, '__getitem__'), 'exec')


def attacks(canary):
    """Name → object whose unrestricted unpickling writes the file ``canary``."""
    write = f'open({str(canary)!r}, "w").close()'
    inner = pickle.dumps(Call(exec, write))
    init = Call(getattr, HistoryBuffer, '__init__')
    return {
        'os.system': Call(os.system, f'echo > "{canary}"'),
        'builtins.eval': Call(eval, write),
        'subprocess': Call(subprocess.call, f'echo > "{canary}"', True),
        'getattr __init__': Call(chain_from(init), write),
        # Starts from what the stand-in does give out.
        'getattr mean': Call(chain_from(HistoryBuffer.mean), write),
        'numpy runstring': Call(np.testing._private.utils.runstring, write, {}),
        'nested pickle': Call(pickle.loads, inner),
        'rebuild': Call(torch._tensor._rebuild_from_type_v2, eval, object, (write,), 0),
        'in a history': {'message_hub': HistoryBuffer([1.0], [Call(eval, write)])},
    }


@pytest.mark.parametrize('name', attacks('canary'))
def test_malicious_checkpoint_is_refused(name, tmp_path):
    canary = tmp_path / 'canary'
    path = tmp_path / 'c.pth'
    if name == 'subprocess':
        payload = Call(subprocess.call, ['touch', str(canary)])
    else:
        payload = attacks(canary)[name]
    torch.save({'state_dict': {}, 'meta': payload}, path)
    for load in (torch.load, lambda p: torch.load(p, weights_only=True)):
        with pytest.raises(pickle.UnpicklingError):
            load(path)
        assert not canary.exists()
    # The attack is a real one: the unsafe loader falls for it.
    try:
        torch.load(path, weights_only=False)
    except Exception as error:
        print(f'the unsafe loader failed after the attack: {error!r}')
    assert canary.exists()


REFUSED = {
    'getattr of another class': Call(getattr, np.ndarray, 'mean'),
    'getattr of another name': Call(getattr, HistoryBuffer, 'register_statistics'),
    'object array': np.array([{}], dtype=object),
    'string array': np.array(['a']),
    'structured array': np.zeros(1, [('a', 'f8')]),
    'structured scalar': np.zeros(1, [('a', 'f8')])[0],
    'memory map': Call(np.memmap, __file__),
    'bytes by number': Call(bytes, 10**9),
    'array subclass': np.ma.masked_array([1.0]),
}


@pytest.mark.parametrize('payload', REFUSED.values(), ids=REFUSED)
def test_nothing_else_of_numpy_or_getattr_is_let_in(payload, tmp_path):
    torch.save(payload, tmp_path / 'c.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'c.pth', weights_only=True)


class TamperedDtype:
    """A float64 dtype on which the file sets flags of its own."""

    def __reduce__(self):
        # 63 sets every flag, also the one that says 'these are pointers'.
        return np.dtype, ('f8', False, True), (3, '<', None, None, None, -1, -1, 63)


def test_file_cannot_tamper_with_dtypes(tmp_path):
    torch.save(TamperedDtype(), tmp_path / 'c.pth')
    assert torch.load(tmp_path / 'c.pth', weights_only=False).flags == 63
    assert torch.load(tmp_path / 'c.pth', weights_only=True) is np.dtype('f8')
    assert np.dtype('f8').flags == 0


# --- process group ------------------------------------------------------------------

START = """
from mmengine.dist import get_world_size, init_dist
import torch
before = torch.cuda.set_device
init_dist('pytorch', backend='gloo')
assert torch.distributed.get_backend() == 'gloo'
assert torch.cuda.set_device is before
torch.distributed.destroy_process_group()
"""


@pytest.fixture
def one_rank():
    """The variables a launcher sets, for one process and a free port."""
    if torch.cuda.is_available():
        pytest.skip(
            'this machine has a CUDA device, so the failure that the patch is for '
            'cannot occur here'
        )
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    rank = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1')
    return rank | dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))


def test_process_group_starts_with_patch_only(one_rank, tmp_path):
    assert 'set_device' in error_of(START, tmp_path, **one_rank)
    works(f'{COMPAT}\ncompat.patch()\n{START}', tmp_path, **one_rank)


def test_set_device_still_fails_elsewhere(one_rank, tmp_path):
    code = f'{COMPAT}\ncompat.patch()\nimport torch\ntorch.cuda.set_device(0)'
    assert 'set_device' in error_of(code, tmp_path)


# --- mmcv's operators ---------------------------------------------------------------


def test_mmpose_needs_operators(tmp_path):
    if python('-c', 'import torch, mmcv._ext', cwd=tmp_path).returncode == 0:
        pytest.skip('this mmcv has compiled operators, so nothing stands in for them')
    assert '_ext' in error_of('import mmcv.ops', tmp_path)
    code = """
import mmpose_lite, mmpose.apis, mmdet.apis, torch
from mmcv.ops import batched_nms, soft_nms
boxes = torch.tensor([[0., 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6]])
scores = torch.tensor([.5, .9, .7])
how = dict(type='nms', iou_threshold=.5)
kept, indices = batched_nms(boxes, scores, torch.zeros(3), how)
assert indices.tolist() == [1, 2], indices
try:
    soft_nms(boxes, scores)
except NotImplementedError as error:
    assert "'softnms'" in str(error) and 'MMCV_WITH_OPS=1' in str(error), error
else:
    raise AssertionError
"""
    works(code, tmp_path)


OPERATORS = {
    'absent': (None, 'patched: mmcv._ext is absent; mmcv_ops.py stands in'),
    'broken': ('_ext.abi3.so', 'patched: mmcv._ext does not load (.*); mmcv_ops.py'),
    'working': ('_ext.py', 'not needed: mmcv._ext loads'),
}


@pytest.mark.parametrize(('file', 'record'), OPERATORS.values(), ids=OPERATORS)
def test_operators_that_load_are_left_alone(file, record, tmp_path):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv' / '__init__.py').touch()
    if file:
        (tmp_path / 'mmcv' / file).write_text('def nms(): pass')
    code = f"""
import re
from mmpose_lite import compat
from mmcv import _ext
assert re.match({record!r}, compat.RECORD['operators']), compat.RECORD
assert hasattr(_ext, 'nms') and hasattr(_ext, 'softnms') == ({file!r} != '_ext.py')
"""
    works(code, tmp_path)


def naive_nms(boxes, scores, threshold, offset):
    """Torchvision's loop over pairs of boxes, in single precision."""
    boxes, scores = boxes.numpy(), scores.numpy()
    offset = np.float32(offset)
    areas = (boxes[:, 2] - boxes[:, 0] + offset) * (boxes[:, 3] - boxes[:, 1] + offset)
    kept, gone = [], set()
    for i in np.argsort(-scores, kind='stable'):
        if i in gone:
            continue
        kept.append(int(i))
        low = np.maximum(boxes[i, :2], boxes[:, :2])
        high = np.minimum(boxes[i, 2:], boxes[:, 2:])
        sides = np.maximum(high - low + offset, np.float32(0))
        shared = sides[:, 0] * sides[:, 1]
        with np.errstate(invalid='ignore'):  # boxes without an area
            overlap = shared / (areas[i] + areas - shared)
        gone |= set(np.flatnonzero(overlap.astype(np.float64) > threshold).tolist())
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('torchvision', [None, 'installed'])
def test_nms_of_random_boxes_with_ties(offset, torchvision, monkeypatch):
    if torchvision is None:
        monkeypatch.setattr(mmcv_ops, 'torchvision_ops', lambda: None)
    elif mmcv_ops.torchvision_ops() is None:
        pytest.skip("this torchvision's compiled part does not load")
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(1000, 2, generator=generator) * 100
    sides = torch.rand(1000, 2, generator=generator) * 40
    boxes = torch.cat((corners, corners + sides), 1)
    for tied in (boxes, boxes.round()):
        scores = (torch.rand(1000, generator=generator) * 20).round()
        kept = mmcv_ops.nms(tied, scores, 0.5, offset).tolist()
        assert kept == naive_nms(tied, scores, 0.5, offset)
        assert 300 < len(kept) < 900
    assert mmcv_ops.nms(boxes[:0], scores[:0], 0.5, offset).tolist() == []


def test_convolutions_and_regions_pass_their_arguments_on(monkeypatch):
    """With operators that let every argument take part, and autograd as reference."""

    def deform_conv2d(input, offset, weight, bias, mask=None, **options):
        groups = input.shape[1] // weight.shape[1]
        scale = offset.mean() if mask is None else offset.mean() * mask.mean()
        return F.conv2d(input, weight, bias, groups=groups, **options) * scale

    def roi_align(input, rois, size, spatial_scale, sampling_ratio, aligned):
        assert (spatial_scale, sampling_ratio, aligned) == (0.5, 2, True)
        return F.adaptive_avg_pool2d(input, size) * rois.sum()

    fake = SimpleNamespace(deform_conv2d=deform_conv2d, roi_align=roi_align)
    monkeypatch.setattr(mmcv_ops, 'torchvision_ops', lambda: fake)
    x, weight, bias = torch.rand(2, 4, 9, 9), torch.rand(6, 2, 3, 3), torch.rand(6)
    offset, mask = torch.rand(2, 18, 5, 4), torch.rand(2, 9, 5, 4)
    how = dict(stride=(2, 3), padding=(1, 2), dilation=(1, 2))
    first = dict(dW=3, dH=2, padW=2, padH=1, dilationW=2, dilationH=1)
    second = dict(stride_h=2, stride_w=3, pad_h=1, pad_w=2, dilation_h=1, dilation_w=2)
    second['with_bias'] = True

    leaves = [t.requires_grad_() for t in (x, offset, weight, mask, bias)]
    none = torch.empty(0)
    for modulated in (False, True):
        used = leaves if modulated else leaves[:3]
        given = dict(mask=mask) if modulated else {}
        expected = deform_conv2d(
            *leaves[:3], bias if modulated else None, **given, **how
        )
        out, grads = torch.empty_like(expected), [torch.zeros_like(t) for t in leaves]
        gradient = torch.rand_like(expected)
        with torch.no_grad():
            if modulated:
                tensors = (x, weight, bias, none, offset, mask)
                mmcv_ops.modulated_deform_conv_forward(*tensors, out, none, **second)
                order = [grads[i] for i in (0, 2, 4, 1, 3)]
                mmcv_ops.modulated_deform_conv_backward(
                    *tensors, none, *order, gradient, **second
                )
            else:
                mmcv_ops.deform_conv_forward(
                    x, weight, offset, out, none, none, **first
                )
                mmcv_ops.deform_conv_backward_input(
                    x, offset, gradient, grads[0], grads[1], weight, none, **first
                )
                mmcv_ops.deform_conv_backward_parameters(
                    x, offset, gradient, grads[2], none, none, scale=1, **first
                )
        assert torch.equal(out, expected)
        for found, wanted in zip(
            grads, torch.autograd.grad(expected, used, gradient), strict=False
        ):
            torch.testing.assert_close(found, wanted)

    rois = torch.ones(2, 5)
    size = dict(aligned_height=3, aligned_width=3, pool_mode=1)
    size |= dict(spatial_scale=0.5, sampling_ratio=2, aligned=True)
    expected = roi_align(x, rois, (3, 3), 0.5, 2, True)
    out, found = torch.empty_like(expected), torch.zeros_like(x)
    gradient = torch.rand_like(expected)
    with torch.no_grad():
        mmcv_ops.roi_align_forward(x, rois, out, none, none, **size)
        mmcv_ops.roi_align_backward(gradient, rois, none, none, found, **size)
    assert torch.equal(out, expected)
    (wanted,) = torch.autograd.grad(expected, x, gradient)
    torch.testing.assert_close(found, wanted)
    with pytest.raises(NotImplementedError, match='pool_mode max'):
        mmcv_ops.roi_align_forward(x, rois, out, none, none, **size | dict(pool_mode=0))


# --- xtcocotools and pkg_resources --------------------------------------------------


def only(packages, folder):
    """Folder that holds these installed packages alone, for a Python without others."""
    for package in packages:
        home = Path(find_spec(package).origin).parent
        for found in home.parent.glob(f'{package}*'):  # with its libraries
            (folder / found.name).symlink_to(found)
    return dict(PYTHONPATH=os.pathsep.join((str(folder), str(ROOT))))


USE = """
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval
import xtcocotools.mask as mask
assert COCO().dataset == {} and COCOeval(sigmas=[1.0]) and mask.decode
"""


@pytest.mark.parametrize(
    ('source', 'record'),
    [
        (None, 'patched: xtcocotools is absent; cocotools.py stands in'),
        (
            "raise ValueError('numpy.dtype size changed')",
            'patched: xtcocotools does not load (numpy.dtype size changed); '
            'cocotools.py stands in',
        ),
    ],
)
def test_cocotools_stand_in(source, record, tmp_path):
    variables = only(('numpy', 'pycocotools'), tmp_path)
    if source:
        (tmp_path / 'xtcocotools').mkdir()
        (tmp_path / 'xtcocotools' / '__init__.py').touch()
        (tmp_path / 'xtcocotools' / 'mask.py').write_text(source)
    without = python('-S', '-c', USE, cwd=tmp_path, **variables)
    assert 'xtcocotools' in without.stderr
    code = f'import mmpose_lite\n{USE}\nprint(mmpose_lite.compat.RECORD["xtcocotools"])'
    done = python('-S', '-c', code, cwd=tmp_path, **variables)
    assert done.stdout.strip() == record, done.stderr


def test_cocotools_that_load_are_left_alone(tmp_path):
    (tmp_path / 'xtcocotools').mkdir()
    for part in ('__init__', 'mask'):
        (tmp_path / 'xtcocotools' / f'{part}.py').touch()
    code = """
import mmpose_lite, xtcocotools
assert xtcocotools.__spec__.loader is xtcocotools.__loader__
assert not hasattr(xtcocotools, 'COCO')
assert mmpose_lite.compat.RECORD['xtcocotools'] == 'not needed: xtcocotools loads'
"""
    works(code, tmp_path)


def test_mim_and_mmengine_need_distributions(tmp_path):
    (tmp_path / 'pkg_resources.py').write_text('raise ImportError("none since 82")')
    code = """
from mmengine.utils import get_installed_path, is_installed
assert is_installed('mmpose') and not is_installed('no_such_package')
assert __import__('pathlib').Path(get_installed_path('mmpose'), '__init__.py').exists()
import mim
assert mim.utils.is_installed('mmdet')
assert ('mmengine', '0.10') in [(n, v[:4]) for n, v in mim.list_package(all=True)]
"""
    quiet = 'import warnings; warnings.simplefilter("ignore")\n'
    assert 'none since 82' in error_of(quiet + code, tmp_path)
    works(f'{quiet}import mmpose_lite\n{code}', tmp_path)


def test_distributions_are_described():
    found = distributions.get_distribution('mmpose')
    assert (Path(found.location) / 'mmpose').is_dir()
    assert found.has_metadata('METADATA')
    assert 'Name: mmpose' in found.get_metadata('METADATA')
    assert not found.has_metadata('none.txt')
    with pytest.raises(FileNotFoundError, match=r'mmpose has no none.txt'):
        found.get_metadata('none.txt')
    with pytest.raises(distributions.DistributionNotFound, match='no_such_package'):
        distributions.get_distribution('no_such_package')
    assert distributions.parse_version('1.10') > distributions.parse_version('1.9')


# --- numpy -------------------------------------------------------------------------


@pytest.mark.parametrize('alpha', [1.0, 0.5])
def test_keypoints_are_drawn_as_circles(alpha):
    """MMPose gives the radius as an array, of which numpy would not make a number."""
    from mmpose.visualization import PoseLocalVisualizer

    drawer = PoseLocalVisualizer(backend='opencv')
    drawer.set_image(np.zeros((9, 9, 3), np.uint8))
    drawer.draw_circles(
        np.array([4.0, 4.0]), np.array([2]), face_colors=(255, 255, 255), alpha=alpha
    )
    painted = drawer.get_image()[..., 0]
    assert (painted > 0).sum() == 13
    assert painted.max() == int(255 * alpha + 0.5)


def test_refinement_gives_outputs_by_name():
    """MMPose's DARK gives one by position, of which numpy 2.4 warns."""
    from mmpose.codecs.utils import refinement

    heatmaps = np.zeros((1, 9, 9), np.float32)
    heatmaps[0, 4, 4:6] = 1, 0.8
    keypoints = np.array([[[4.0, 4.0]]])
    refined = refinement.refine_keypoints_dark(keypoints, heatmaps, 3)
    assert 4.05 < refined[0, 0, 0] < 4.5
    assert abs(refined[0, 0, 1] - 4) < 1e-6


# --- all of them --------------------------------------------------------------------


def test_second_import_changes_nothing(tmp_path):
    code = """
import sys
import torch
import mmpose_lite, mmpose.apis
from mmengine.dist import utils
def state():
    return set(torch.serialization.get_safe_globals()), utils._init_dist_pytorch
first = state()
mmpose_lite.compat.patch()
for name in [n for n in sys.modules if n.partition('.')[0] == 'mmpose_lite']:
    del sys.modules[name]
import mmpose_lite, mmpose.apis, torchvision
assert state() == first
"""
    assert works(code, tmp_path) == ''


@pytest.mark.parametrize(
    ('absent', 'idle'),
    [
        ('torch', ['torchvision ops', 'checkpoints', 'process group']),
        ('torchvision', ['torchvision ops']),
        ('mmengine', ['checkpoints', 'process group']),
        ('mmpose', []),
    ],
)
def test_absent_package_is_tolerated(absent, idle, tmp_path):
    code = f"""{COMPAT}
import sys
sys.modules[{absent!r}] = None
compat.patch()
for package in ('torchvision', 'mmengine'):
    try:
        __import__(package)
    except ImportError as error:
        print(error)
for name in {idle}:
    assert not compat.RECORD.get(name, '').startswith('patched'), compat.RECORD
"""
    works(code, tmp_path)


# --- Versions ----------------------------------------------------------------------


def test_declared_versions_are_those_that_are_tested():
    declared = (ROOT / 'setup.py').read_text()
    sets = {
        name: dict(
            line.split('==')
            for line in (ROOT / f'tests/versions/{name}.txt').read_text().splitlines()
            if '==' in line
        )
        for name in ('oldest', 'newest')
    }
    for package in ('torch', 'mmengine', 'mmcv-lite'):
        oldest, beyond = compat.RANGES[package]
        lowest, newest = (sets[name][package] for name in ('oldest', 'newest'))
        assert lowest in (oldest, f'{oldest}.0')
        assert not beyond or compat._numbers(newest) < compat._numbers(beyond)
        if package != 'mmcv-lite':  # or mmcv, compiled for the torch that is there
            assert f"'{package}>={oldest}" in declared


def test_other_versions_are_refused(tmp_path):
    """Each is named, and ``mmpose-lite env`` goes on."""
    versions = dict(
        torch='2.5.1+cu118', mmengine='0.10.0', mmcv='2.2.0', mmpose='0.29.0'
    )
    for package, version in versions.items():
        info = tmp_path / f'{package}-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Name: {package}\nVersion: {version}\n')
    path = dict(PYTHONPATH=os.pathsep.join((str(tmp_path), str(ROOT))))
    report = python('-m', 'mmpose_lite', 'env', cwd=tmp_path, **path).stdout
    for told in (
        error_of('import mmengine, mmpose_lite', tmp_path, **path),
        error_of('import mmpose_lite.models', tmp_path, **path),
        report.partition('BROKEN: ')[2],
    ):
        assert 'ImportError: mmpose_lite needs ' in told
        for said in (
            'torch>=2.6, but 2.5.1+cu118 is installed',
            'mmengine>=0.10.1,<1, but 0.10.0 is installed',
            'mmcv>=2.1,<2.2, but 2.2.0 is installed',
            'mmpose>=1.3,<2, but 0.29.0 is installed',
        ):
            assert said in told
