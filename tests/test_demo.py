"""The demo from its data to its picture, in a very short form."""

import os
import re
import subprocess

import cv2
import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow(minutes=2)


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    if not (ROOT / '.venv/bin/mim').exists():
        pytest.skip('no .venv at the root of the project; tools/setup.sh makes it')
    folder = tmp_path_factory.mktemp('demo')
    words = '--train 40 --val 8 --cfg-options train_cfg.max_epochs=1 '
    words += 'train_cfg.val_interval=1 default_hooks.checkpoint.interval=1 '
    words += 'default_hooks.logger.interval=1'
    folders = ('--out', folder / 'runs', '--data', folder / 'data')
    run = subprocess.run(
        ['bash', 'tools/demo.sh', *map(str, folders), *words.split()],
        cwd=ROOT,
        env={**os.environ, 'DEMO_SETUP': 'no', 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return folder, run.stdout


def test_the_table_holds_what_was_measured(demo):
    folder, out = demo
    rows = dict(re.findall(r'^(\S[^|\n]*?) +\| +(\S.*)$', out, re.MULTILINE))
    assert int(rows['parameters'].replace(',', '')) > 10_000
    assert float(rows['MACs at 128x96'].split()[0]) > 1
    assert float(rows['seconds per step']) > 0
    for when in ('before', 'after'):
        log = (folder / 'runs' / f'{when}.test.log').read_text()
        logged = float(re.search(r'coco/AP: (\d\.\d+)', log)[1])
        assert float(rows[f'AP {when} training']) == pytest.approx(logged, abs=5e-4)


def test_the_picture_shows_pairs_of_images(demo):
    folder, _ = demo
    picture = cv2.imread(str(folder / 'runs' / 'predictions.png'))
    assert picture.shape == (26 + 4 * (360 + 8), 2 * (2 * 480 + 8), 3)
    assert picture.std() > 10


def test_training_starts_from_the_weights_evaluated_before(demo):
    folder, _ = demo
    (log,) = (folder / 'runs' / 'train').glob('*/*.log')
    assert 'Load checkpoint from' in log.read_text()
    assert (folder / 'runs' / 'initial.pth').exists()
