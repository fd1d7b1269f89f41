"""A small COCO data set, all that can be wrong with one, and a training on it."""

from __future__ import annotations

import copy
import io
import json
import math
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from PIL import Image
from small_run import QuickRunner

from mmpose_lite.data import generate_toy_coco

NAN, INF = math.nan, math.inf
SIZE = (160, 120)
IMAGE = 2  # place of the image that is damaged
_NUMBERS = count()


@dataclass
class Site:
    """A copy of the data set, to be damaged.

    Attributes:
        root: ``data_root`` of MMPose's data sets.
        split: ``'train'`` or ``'val'``.
        content: Of its annotation file; written by :meth:`write`.
        text: In the place of ``content``, if not None.
    """

    root: Path
    split: str = 'train'
    content: dict[str, Any] = field(default_factory=dict)
    text: bytes | None = None

    @property
    def annotations(self) -> Path:
        return self.root / 'annotations' / f'person_keypoints_{self.split}.json'

    @property
    def images(self) -> Path:
        return self.root / self.split

    @property
    def record(self) -> dict[str, Any]:
        """Record of the image that is damaged."""
        return self.content['images'][IMAGE]

    @property
    def path(self) -> Path:
        """The image that is damaged."""
        return self.images / self.record['file_name']

    @property
    def person(self) -> dict[str, Any]:
        """The person that is damaged: the first in that image."""
        people = self.content['annotations']
        return next(p for p in people if p['image_id'] == self.record['id'])

    def write(self) -> None:
        text = json.dumps(self.content).encode() if self.text is None else self.text
        self.annotations.write_bytes(text)


def make_site(root: Path, origin: Path, split: str = 'train') -> Site:
    """A copy of the data set under ``root``; ``origin`` keeps the original."""
    if not origin.exists():
        generate_toy_coco(origin, num_train=8, num_val=3, image_size=SIZE, seed=5)
    shutil.copytree(origin, root)
    site = Site(root, split)
    site.content = json.loads(site.annotations.read_text())
    return site


# --- Images -------------------------------------------------------------------------


def rewrite(change: Callable[[bytes], bytes]) -> Callable[[Site], None]:
    """Damage the bytes of the image's file."""
    return lambda site: site.path.write_bytes(change(site.path.read_bytes()))


def taken(site: Site, name: str) -> np.ndarray:
    """The image, whose file goes; another takes its place in the record."""
    image = cv2.imread(str(site.path))
    site.path.unlink()
    site.record['file_name'] = name
    return image


def encode(
    suffix: str, change: Callable[[np.ndarray], np.ndarray] = lambda image: image
) -> Callable[[Site], None]:
    """Store the image, changed, in another format."""

    def damage(site: Site) -> None:
        image = change(taken(site, f'again{suffix}'))
        assert cv2.imwrite(str(site.path), image)

    return damage


def chain(*steps: Callable[[Site], None]) -> Callable[[Site], None]:
    def damage(site: Site) -> None:
        for step in steps:
            step(site)

    return damage


def tags(orientation: int) -> Image.Exif:
    """EXIF data that tell an orientation."""
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def told(orientation: int) -> Callable[[Site], None]:
    """Let the file say that it must be turned, and turn nothing."""
    body = tags(orientation).tobytes()
    segment = b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body
    return rewrite(lambda data: data[:2] + segment + data[2:])


STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
"""Orientation to the way in which an upright image is stored under it."""


def stored_turned(orientation: int, suffix: str = '.jpg') -> Callable[[Site], None]:
    """Store the image as a camera does that was held otherwise; boxes are upright."""

    def damage(site: Site) -> None:
        image = STORED[orientation](taken(site, f'turned{suffix}'))
        data = np.ascontiguousarray(image[..., ::-1])
        Image.fromarray(data).save(site.path, exif=tags(orientation))

    return damage


def cmyk(site: Site) -> None:
    Image.open(io.BytesIO(site.path.read_bytes())).convert('CMYK').save(site.path)


def resize(
    width: int, height: int, suffix: str, follow: bool
) -> Callable[[Site], None]:
    """Another size; ``follow`` lets the record and the boxes know."""

    def damage(site: Site) -> None:
        image = taken(site, f'resized{suffix}')
        cv2.imwrite(str(site.path), cv2.resize(image, (width, height)))
        if not follow:
            return
        scale = np.array([width / SIZE[0], height / SIZE[1]])
        site.record.update(width=width, height=height)
        for person in site.content['annotations']:
            if person['image_id'] == site.record['id']:
                person['bbox'] = [*(np.array(person['bbox']) * [*scale, *scale])]
                points = np.reshape(person['keypoints'], (-1, 3)) * [*scale, 1]
                person['keypoints'] = points.ravel().tolist()

    return damage


def gone(site: Site) -> None:
    site.path.unlink()


def folder(site: Site) -> None:
    site.path.unlink()
    site.path.mkdir()


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def zeroed(data: bytes) -> bytes:
    return half(data) + bytes(len(data) - len(half(data)))


WIDE = (12_000, 90)
LOST_IMAGES = {
    'truncated to a half': rewrite(half),
    'truncated to the head': rewrite(lambda data: data[:700]),
    'truncated to 3 bytes': rewrite(lambda data: data[:3]),
    'last two bytes missing': rewrite(lambda data: data[:-2]),
    'second half zeros': rewrite(zeroed),
    'last 20 bytes zeros': rewrite(lambda data: data[:-20] + bytes(20)),
    'zero bytes': rewrite(lambda data: b''),
    'zeros': rewrite(lambda data: bytes(len(data))),
    'text': rewrite(lambda data: b'<html>not found</html>'),
    'png truncated': chain(encode('.png'), rewrite(half)),
    'png end missing': chain(encode('.png'), rewrite(lambda data: data[:-12])),
    'webp truncated': chain(encode('.webp'), rewrite(half)),
    'bmp truncated': chain(encode('.bmp'), rewrite(half)),
    'missing': gone,
    'a folder': folder,
    '1x1': resize(1, 1, '.jpg', follow=False),
    '1x1, as annotated': resize(1, 1, '.jpg', follow=True),
    'of another size': resize(80, 60, '.jpg', follow=False),
    'wider than OpenCV cuts from': resize(33_000, 2, '.png', follow=True),
    **{f'told EXIF {i}, boxes as stored': told(i) for i in (5, 6, 7, 8)},
}
"""What nobody can learn from."""

UNREADABLE = [*LOST_IMAGES][: [*LOST_IMAGES].index('1x1')]
FLIPPED = chain(
    encode('.png'), rewrite(lambda d: half(d)[:-1] + b'\x55' + d[len(half(d)) :])
)
"""Damage that only shows when the file is decoded."""

KEPT_IMAGES = {
    'CMYK': cmyk,
    'grey': encode('.jpg', lambda a: cv2.cvtColor(a, cv2.COLOR_BGR2GRAY)),
    'grey png': encode('.png', lambda a: cv2.cvtColor(a, cv2.COLOR_BGR2GRAY)),
    '16-bit png': encode('.png', lambda a: a.astype(np.uint16) * 257),
    '16-bit tiff': encode('.tiff', lambda a: a.astype(np.uint16) * 257),
    '12,000 px wide': resize(*WIDE, '.jpg', follow=True),
    'tiny': resize(12, 9, '.png', follow=True),
    **{f'turned EXIF {i}': stored_turned(i) for i in range(2, 9)},
}
"""What is unusual; training copes, and the check tells."""

FINE_IMAGES = {
    'alpha': encode('.png', lambda a: cv2.cvtColor(a, cv2.COLOR_BGR2BGRA)),
    'png': encode('.png'),
    'webp': encode('.webp'),
    'bmp': encode('.bmp'),
    'trailing bytes': rewrite(lambda data: data + b'trailer' * 20),
    'EXIF 1': told(1),
}
"""What nothing is wrong with."""

# --- People -------------------------------------------------------------------------


GONE = ...
"""In the place of a value: the entry is taken out."""


def changed(
    places: Callable[[Site], list[dict[str, Any]]], **values: Any
) -> Callable[[Site], None]:
    """Change entries of records of the annotation file."""

    def damage(site: Site) -> None:
        for place in places(site):
            for name, value in values.items():
                place[name] = copy.deepcopy(value)
                if value is GONE:
                    del place[name]

    return damage


content = partial(changed, lambda site: [site.content])
record = partial(changed, lambda site: [site.record])
person = partial(changed, lambda site: [site.person])
everybody = partial(changed, lambda site: site.content['annotations'])


def box(*values: float) -> Callable[[Site], None]:
    return person(bbox=[*values])


def joint(x: float, y: float, flag: float) -> Callable[[Site], None]:
    """One of the joints at another place."""

    def damage(site: Site) -> None:
        site.person['keypoints'][15:18] = [x, y, flag]

    return damage


def flags(value: int, told: Any) -> Callable[[Site], None]:
    """Every joint with the same visibility, and a count of them."""

    def damage(site: Site) -> None:
        site.person['keypoints'][2::3] = [value] * 17

    return chain(damage, person(num_keypoints=told))


def dog(site: Site) -> None:
    site.content['categories'].append(dict(id=18, name='dog'))
    site.person['category_id'] = 18


LOST_PEOPLE = {
    'box left of the image': box(-90, 10, 40, 60),
    'box right of the image': box(400, 10, 40, 60),
    'box below the image': box(10, 300, 40, 60),
    'box far away': box(1e30, 1e30, 1e30, 1e30),
    'box of no width': box(20, 20, 0, 30),
    'box of no height': box(20, 20, 30, 0),
    'box inverted': box(60, 60, -40, -40),
    'box half inverted': box(60, 20, -40, 60),
    'box NaN': box(NAN, NAN, NAN, NAN),
    'box x NaN': box(NAN, 10, 40, 60),
    'box width NaN': box(10, 10, NAN, 60),
    'box infinite': box(10, 10, INF, 60),
    'box from minus infinity': box(-INF, 10, 40, 60),
    'no box': person(bbox=GONE),
    'joint NaN': joint(NAN, NAN, 2),
    'joint y NaN': joint(40, NAN, 1),
    'invisible joint NaN': joint(NAN, NAN, 0),
    'visibility NaN': joint(40, 40, NAN),
    'visibility negative': joint(40, 40, -1),
    'joint infinite': joint(INF, 40, 2),
    'joint minus infinite': joint(40, -INF, 2),
    'joint far outside': joint(1e6, 40, 2),
    'joint far to the left': joint(-5e3, 40, 2),
    'joint beyond float32': joint(1e300, 40, 2),
    'one joint less': lambda site: site.person['keypoints'].__delitem__(slice(3)),
    'one joint more': lambda site: site.person['keypoints'].extend([1, 1, 2]),
    'no joint visible, 17 told': flags(0, 17),
    'no joint visible, no number': flags(0, GONE),
    'area NaN': person(area=NAN),
    'area infinite': person(area=INF),
    'category of a dog': dog,
    'category unknown': person(category_id=77),
    'category 0': person(category_id=0),
    'image unknown': person(image_id=10**6),
    'image a text': person(image_id='3'),
}
"""Who must not be learnt from."""

KEPT_PEOPLE = {
    'box mostly outside': box(-300, 10, 330, 100),
    'joint outside': joint(SIZE[0] + 30, 40, 2),
    'visibility 3': joint(40, 40, 3),
    'num_keypoints 0': person(num_keypoints=0),
    'crowd': person(iscrowd=1),
    'crowd with a box that is empty': person(iscrowd=1, bbox=[0, 0, 0, 0]),
    'no joint labelled': person(keypoints=[0] * 51, num_keypoints=0),
    'no joint labelled, no box': person(
        keypoints=[0] * 51, num_keypoints=0, bbox=[0, 0, 0, 0]
    ),
    'no keypoints': person(keypoints=GONE, num_keypoints=GONE),
    'no area': person(area=GONE),
}
"""Who is as COCO has them, or is left out by MMPose, or does no harm."""

# --- Whole files --------------------------------------------------------------------


def cut(part: float) -> Callable[[Site], None]:
    def damage(site: Site) -> None:
        text = json.dumps(site.content).encode()
        site.text = text[: int(len(text) * part)]

    return damage


def text(value: bytes) -> Callable[[Site], None]:
    return lambda site: setattr(site, 'text', value)


def same_person(near: bool) -> Callable[[Site], None]:
    """A second person of the same id, in the same image or another."""

    def damage(site: Site) -> None:
        people, own = site.content['annotations'], site.person
        others = [p for p in people if (p['image_id'] == own['image_id']) == near]
        other = next((p for p in others if p is not own), own)
        people.append({**copy.deepcopy(other), 'id': own['id']})

    return damage


def same_image(site: Site) -> None:
    site.content['images'][IMAGE - 1]['id'] = site.record['id']


def nobody_has_images(site: Site) -> None:
    for file in site.images.iterdir():
        file.unlink()


def other_joints(site: Site) -> None:
    """A data set of 14 joints where MMPose expects 17."""
    site.content['categories'][0]['keypoints'] = [f'joint{i}' for i in range(14)]
    for one in site.content['annotations']:
        one['keypoints'] = one['keypoints'][:42]


REFUSED = {
    **{f'json cut to {part:.0%}': cut(part) for part in (0.02, 0.5, 0.97, 0.9999)},
    'json empty': text(b''),
    'json of zeros': text(bytes(4000)),
    'not json': text(b'<annotation></annotation>'),
    'utf-16': lambda site: text(json.dumps(site.content).encode('utf-16'))(site),
    'nested too deep': text(b'[' * 100_000),
    'a list': text(b'[]'),
    'a number': text(b'3'),
    'null': text(b'null'),
    'an empty object': text(b'{}'),
    'no images': content(images=GONE),
    'no annotations': content(annotations=GONE),
    'images empty': content(images=[]),
    'annotations empty': content(annotations=[]),
    'annotations of other things': content(annotations=[1, 2]),
    'images of other things': content(images=['a', None]),
    'categories a number': content(categories=7),
    'nobody labelled': everybody(keypoints=[0] * 51, num_keypoints=0),
    'only crowds': everybody(iscrowd=1),
    'only boxes': everybody(keypoints=None),
    'everybody of another category': everybody(category_id=18),
    'everybody without a box': everybody(bbox=[0, 0, 0, 0]),
    'everybody NaN': everybody(bbox=[NAN] * 4),
    'other joints': other_joints,
    'no image there': nobody_has_images,
    'person id twice, same image': same_person(True),
    'person id twice, other image': same_person(False),
    'image id twice': same_image,
    'image without a name': record(file_name=GONE),
    'image name a number': record(file_name=3),
    'image without a width': record(width=GONE),
    'image height a text': record(height='120'),
    'image height 0': record(height=0),
    'image width NaN': record(width=NAN),
    'image without an id': record(id=GONE),
    'image id a text': record(id='a'),
    'image id null': record(id=None),
    'person without an id': person(id=GONE),
    'person id null': person(id=None),
    'person without a category': person(category_id=GONE),
    'category null': person(category_id=None),
    'box of 3 numbers': person(bbox=[1, 2, 3]),
    'box of 5 numbers': person(bbox=[1, 2, 3, 4, 5]),
    'box of texts': person(bbox=['1', '2', '3', '4']),
    'box of nulls': person(bbox=[None] * 4),
    'box a number': person(bbox=4),
    'keypoints not in threes': person(keypoints=[1.0] * 50),
    'keypoints of texts': person(keypoints=['a'] * 51),
    'keypoints of nulls': person(keypoints=[None] * 51),
    'keypoints nested': person(keypoints=[[1, 2, 2]] * 17),
    'number beyond all floats': person(bbox=[10**400, 0, 1, 1]),
    'area a text': person(area='large'),
    'num_keypoints a text': person(num_keypoints='many'),
}
"""What ends a run before its first step."""


# --- Training -----------------------------------------------------------------------


class Watch(Hook):
    """What was trained on, and whether every weight stayed finite."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.persons: set[Any] = set()
        self.steps = 0
        self.changed = False

    def before_train(self, runner):
        self._begin = [p.detach().clone() for p in runner.model.parameters()]

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.persons |= {sample.id for sample in data_batch['data_samples']}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps += 1
        for name, value in runner.model.state_dict().items():
            assert torch.isfinite(value).all(), name
        pairs = zip(self._begin, runner.model.parameters(), strict=True)
        self.changed = not all(torch.equal(one, other) for one, other in pairs)


def build(
    root: Path,
    work_dir: Path,
    *hooks: Any,
    workers: int = 0,
    validate: bool = False,
    loss: dict[str, Any] | None = None,
    transforms: tuple[Any, ...] = (),
    **dataset: Any,
) -> QuickRunner:
    """A run of two epochs of a small network at 64x48 (H x W) on a data set.

    Args:
        root: Of the data set.
        work_dir: For the log.
        *hooks: Of the run.
        workers: That load data.
        validate: Whether it validates after each epoch.
        loss: Of the head, if another.
        transforms: Put before the last one of the training pipeline.
        **dataset: Additions to the data set of training.
    """
    init_default_scope('mmpose')
    config = Config.fromfile(*(ROOT / 'configs' / 'demo').glob('*.py'))
    sizes = dict(input_size=(48, 64), heatmap_size=(12, 16))
    model, train, val = config.model, config.train_dataloader, config.val_dataloader
    narrow = ((8, 16), (8, 16, 32))
    model.backbone.arch.update(channels=narrow, stem_channels=16, unit='parallel')
    model.head.in_channels = 8
    model.head.loss = loss or model.head.loss  # (update would mix them)
    model.head.decoder.update(sizes)
    for loader in (train, val):
        persistent = dict(num_workers=workers, persistent_workers=workers > 0)
        loader.update(batch_size=6, drop_last=False, **persistent)
        loader.dataset.data_root = f'{root}/'
        for step in loader.dataset.pipeline:
            if step.type == 'TopdownAffine':
                step.input_size = sizes['input_size']
            if step.type == 'GenerateTarget':
                step.encoder.update(sizes)
    train.dataset.pipeline[-1:-1] = transforms
    train.dataset.update(dataset)
    annotations = f'{root}/annotations/person_keypoints_val.json'
    validation = dict(
        val_dataloader=val,
        val_cfg=dict(),
        val_evaluator=dict(type='CocoMetric', ann_file=annotations),
    )
    return QuickRunner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=train,
        train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=1e-3)),
        custom_hooks=list(hooks),
        default_hooks=dict(checkpoint=None),
        default_scope='mmpose',
        randomness=dict(seed=0),
        experiment_name=f'bad_data{next(_NUMBERS)}',
        log_level='INFO',
        **(validation if validate else {}),
    )


def log_of(work_dir: Path) -> str:
    """What the run wrote into its log."""
    return ''.join(path.read_text() for path in work_dir.glob('*/*.log'))
