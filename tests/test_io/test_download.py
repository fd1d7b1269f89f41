"""Downloads from a real server that cuts, lies, redirects and refuses."""

import hashlib
import os
import random
import subprocess
import sys

import pytest
from web import serving

from mmpose_lite.io import download as module
from mmpose_lite.io.download import download
from mmpose_lite.io.files import part_name

CONTENT = random.Random(0).randbytes(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(module, 'PAUSE', 0.0)
    for name in ('http_proxy', 'HTTP_PROXY', 'no_proxy', 'NO_PROXY'):
        monkeypatch.delenv(name, raising=False)
    with serving() as site:
        site.files['/x.bin'] = CONTENT
        yield site


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def ranges(site):
    return [wanted for _, wanted in site.seen]


def test_a_file_is_fetched_once_and_counted(site, tmp_path):
    counts = []
    download(
        f'{site.url}/x.bin', tmp_path / 'x.bin', sha256=SHA[:8],
        progress=lambda there, total: counts.append((there, total)),
    )  # fmt: skip
    assert (tmp_path / 'x.bin').read_bytes() == CONTENT
    assert left(tmp_path) == ['x.bin']
    assert counts == sorted(counts)
    assert counts[-1] == (len(CONTENT), len(CONTENT))
    assert site.seen == [('/x.bin', None)]


def test_cut_connections_are_resumed(site, tmp_path):
    site.faults['/x.bin'] = [('cut', 100_000), ('none',), ('cut', 70_000)]
    download(f'{site.url}/x.bin', tmp_path / 'x.bin', sha256=SHA)
    assert (tmp_path / 'x.bin').read_bytes() == CONTENT
    # Each resumption asks first whether it is the same file still.
    assert ranges(site) == [None, None, 'bytes=100000-', None, 'bytes=170000-']


def test_no_end_to_cut_connections_is_no_reason_to_give_up(site, tmp_path):
    """As long as each brings something."""
    site.faults['/x.bin'] = [('cut', 9_000)] + [('none',), ('cut', 9_000)] * 20
    download(f'{site.url}/x.bin', tmp_path / 'x.bin', sha256=SHA)
    assert (tmp_path / 'x.bin').read_bytes() == CONTENT


def test_another_file_of_the_name_is_not_mixed_in(site, tmp_path):
    """It changed on the server between two attempts."""
    other = CONTENT[::-1]
    site.faults['/x.bin'] = [('cut', 100_000)]
    real = module.time.sleep
    module.time.sleep = lambda seconds: site.files.update({'/x.bin': other})
    try:
        download(f'{site.url}/x.bin', tmp_path / 'x.bin')
    finally:
        module.time.sleep = real
    assert (tmp_path / 'x.bin').read_bytes() == other


def test_without_a_mark_it_begins_anew(site, tmp_path):
    site.marks = False
    site.faults['/x.bin'] = [('cut', 100_000)]
    download(f'{site.url}/x.bin', tmp_path / 'x.bin', sha256=SHA)
    assert ranges(site) == [None, None]


def test_what_a_killed_process_left_is_resumed(site, tmp_path):
    code = (
        'import sys, os; from mmpose_lite.io.download import download\n'
        'stop = lambda there, total: there < 150_000 or os._exit(9)\n'
        'download(sys.argv[1], sys.argv[2], progress=stop)'
    )
    words = [sys.executable, '-c', code, f'{site.url}/x.bin', str(tmp_path / 'x.bin')]
    assert subprocess.run(words, check=False).returncode == 9
    (part,) = tmp_path.iterdir()
    begun = part.stat().st_size
    assert 0 < begun < len(CONTENT)
    download(f'{site.url}/x.bin', tmp_path / 'x.bin', sha256=SHA)
    assert ranges(site)[1:] == [None, f'bytes={begun}-']
    assert left(tmp_path) == ['x.bin']


def test_two_processes_at_once(site, tmp_path):
    code = (
        'import sys; from mmpose_lite.io.download import download\n'
        'download(sys.argv[1], sys.argv[2], sha256=sys.argv[3])'
    )
    words = [sys.executable, '-c', code, f'{site.url}/x.bin']
    words += [str(tmp_path / 'x.bin'), SHA]
    both = [subprocess.Popen(words) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert left(tmp_path) == ['x.bin']
    assert (tmp_path / 'x.bin').read_bytes() == CONTENT


def test_part_of_a_living_process_is_left_to_it(site, tmp_path):
    other = part_name(tmp_path / 'x.bin').replace(f'.{os.getpid()}.', '.1.')
    start = module.Path('/proc/1/stat').read_text().rpartition(')')[2].split()[19]
    other = '.'.join([*other.split('.')[:-2], start, 'part'])
    module.Path(other).touch()
    download(f'{site.url}/x.bin', tmp_path / 'x.bin')
    assert len(left(tmp_path)) == 2


REFUSALS = {
    'not there': ([('status', 404)], OSError, '404', 1),
    'forbidden': ([('status', 403)], OSError, '403', 1),
    'busy for ever': ([('status', 503)] * 9, OSError, '503', 5),
    'too short': ([('length', 7)] * 19, OSError, '300007 were announced', 0),
    'a circle': ([('redirect', '/x.bin')] * 99, OSError, 'redirect', 0),
    'a local file': ([('redirect', 'file:///etc/passwd')], OSError, 'file:', 1),
    'endless': ([('endless',)], OSError, 'more than 400000 bytes', 1),
}


@pytest.mark.parametrize(
    ('faults', 'kind', 'said', 'requests'), REFUSALS.values(), ids=REFUSALS
)
def test_refusals(site, tmp_path, faults, kind, said, requests):
    site.faults['/x.bin'] = list(faults)
    with pytest.raises(kind, match=said) as caught:
        download(f'{site.url}/x.bin', tmp_path / 'x.bin', limit=400_000)
    assert site.url in str(caught.value)
    assert not (tmp_path / 'x.bin').exists()
    assert requests in (0, len(site.seen))


def test_wrong_digest_is_deleted(site, tmp_path):
    with pytest.raises(ValueError, match=rf'x\.bin: its SHA-256 is {SHA}, expected 00'):
        download(f'{site.url}/x.bin', tmp_path / 'x.bin', sha256='00')
    assert left(tmp_path) == []


def test_announced_size_beyond_the_limit_is_not_fetched(site, tmp_path):
    with pytest.raises(OSError, match='has 300000 bytes, expected at most 1000'):
        download(f'{site.url}/x.bin', tmp_path / 'x.bin', limit=1000)
    assert left(tmp_path) == []


def test_redirects_busy_servers_and_proxies(site, tmp_path, monkeypatch):
    site.faults['/y.bin'] = [('status', 503), ('redirect', '/x.bin')]
    download(f'{site.url}/y.bin', tmp_path / 'x.bin', sha256=SHA)
    monkeypatch.setenv('http_proxy', site.url)
    site.files['/far.example/x.bin'] = CONTENT
    download('http://far.example/x.bin', tmp_path / 'z.bin', sha256=SHA)
    assert left(tmp_path) == ['x.bin', 'z.bin']


def test_nobody_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'PAUSE', 99.0)
    with serving() as site:
        pass
    with pytest.raises(OSError, match=r'x\.bin: .*[Rr]efused'):
        download(f'{site.url}/x.bin', tmp_path / 'x.bin')
