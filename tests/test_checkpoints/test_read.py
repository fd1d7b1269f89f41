"""Reading checkpoint files: lack of memory, addresses."""

import os
import re
import subprocess
import sys

import torch
from conftest import ROOT
from web import serving

from mmpose_lite.checkpoints import fetch, read_checkpoint


def test_lack_of_memory_is_not_damage(tmp_path):
    """A whole file on a small machine, in a process that may not grow by as much."""
    torch.save({'a': torch.zeros(50 << 20)}, tmp_path / 'large.pth')
    code = """
import os, resource, torch
from mmpose_lite.checkpoints import read_checkpoint
pages = int(open('/proc/self/statm').read().split()[0])
limit = pages * os.sysconf('SC_PAGE_SIZE') + (100 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    read_checkpoint('large.pth')
except MemoryError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.match(
        r'large\.pth \(\d+ bytes\) does not fit into the memory', done.stdout
    )


def test_address_is_downloaded_once(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    torch.save({'a': torch.ones(1)}, tmp_path / 'x.pth')
    with serving() as site:
        site.files['/zoo/net-1234.pth?x=1'] = (tmp_path / 'x.pth').read_bytes()
        paths = {fetch(f'{site.url}/zoo/net-1234.pth?x=1') for _ in range(2)}
    assert paths == {str(tmp_path / 'hub/checkpoints/net-1234.pth')}
    assert len(site.seen) == 1
    assert read_checkpoint(paths.pop()) == {'a': torch.ones(1)}
    assert fetch('a/b.pth') == 'a/b.pth'
