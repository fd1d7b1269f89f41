"""Write what follows from networks and metafiles: ``python tools/model_zoo.py``.

The model tables of README.md and README_zh-CN.md and every configs/FAMILY/README.md.
With ``--measure`` parameters and MACs of the metafiles are counted anew first, which
takes minutes; a name or a pattern limits it. With ``--check`` nothing is written; what
is not current is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmpose_lite.io.files import write_atomically
from mmpose_lite.io.markdown import fill_marked, markdown_table
from mmpose_lite.paths import config_root
from mmpose_lite.zoo import (
    DETECTOR,
    Collection,
    Family,
    Model,
    families,
    list_models,
    percent,
)

ROOT = config_root().parent

# Wide tables are for browsers, so that a new model changes no other line.
table = partial(markdown_table, aligned=False)
# Heads of the tables in the READMEs at the top, by file.
HEADS = {
    'README.md': ('config', 'input (H x W)', 'params', 'MACs', 'published'),
    'README_zh-CN.md': ('配置', '输入（H x W）', '参数量', 'MACs', '已发表结果'),
}
# By training data: the part it is judged on.
PARTS = {'COCO': 'COCO val2017', 'MPII': 'MPII val'}
FAMILY = """<!-- Made by tools/model_zoo.py of metafile.yml and CITATION.cff -->

# {names}

{collections}

## Models

Params and MACs (convolutions and matrix products of one image, eval mode, counted by
`mmpose_lite.analysis.complexity`) are recomputed by the tests. Figures in percent are
published ones, from the source named below each table; a dash means that none could be
traced to its source. The short names serve `mmpose-lite infer --model` and
`mmpose_lite.inferencer`.
{tables}
{files}
{own}
## Train, test, use

<!-- not run: needs {data} -->
```bash
mim train mmpose {config} --launcher pytorch --gpus 8
mim test mmpose {config} --checkpoint FILE
{check}mmpose-lite infer IMAGES --model {alias} --weights FILE --out drawn
```

Data: [docs/data.md]({up}docs/data.md). Which files load:
[docs/checkpoints.md]({up}docs/checkpoints.md).

## Citation

```bibtex
{bibtex}
```
"""
CHECK = 'python tools/check_published.py --model {alias} --weights FILE\n'
# Kind of reference in CITATION.cff → its BibTeX type, and where it appeared.
KINDS = {
    'conference-paper': ('inproceedings', 'booktitle', 'collection-title'),
    'article': ('article', 'journal', 'journal'),
}


def size_of(model: Model) -> tuple[str, str, str]:
    """Input size, parameters and MACs in words."""
    return model.size, f'{model.params / 1e6:.3f} M', f'{model.macs / 1e6:.1f} M'


def family_page(family: Family) -> str:
    """The README of one family."""
    up = '../' * len(family.folder.relative_to(ROOT).parts)
    groups = {
        data: [model for model in family.models if model.data == data] for data in PARTS
    }
    first = next(one for one in family.models if one.size == '256x192')
    published = any(model.metrics or model.files for model in family.models)
    listed = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    known = {entry['title']: entry for entry in listed['references']}
    text = FAMILY.format(
        names=' and '.join(one.name for one in family.collections),
        collections='\n\n'.join(_about(one, up) for one in family.collections),
        tables=''.join(_models(data, group) for data, group in groups.items() if group),
        files=_files(family.models),
        own=_own(family.collections),
        data=first.data,
        config=Path(first.config).relative_to(ROOT),
        check=CHECK.format(alias=first.aliases[0]) if published else '',
        alias=first.aliases[0],
        up=up,
        bibtex='\n\n'.join(bibtex(known[one.title]) for one in family.collections),
    )
    # Parts that a family lacks leave gaps.
    while '\n\n\n' in text:
        text = text.replace('\n\n\n', '\n\n')
    return text


def _about(collection: Collection, up: str) -> str:
    """Paper, idea and figure."""
    figure, more = '', []
    if collection.figure:
        figure = '![{Text}]({up}{Path})'.format(**collection.figure, up=up)
    if collection.page:
        page = f'[{collection.page}]({up}{collection.page})'
        more.append(f'Equations, departures from the paper, recipe: {page}.')
    if collection.code:
        said = 'Research code, of which this implementation is independent'
        more.append(f'{said}: <{collection.code}>.')
    paper = f'> [{collection.title}]({collection.url})'
    parts = (paper, _wrapped(collection.idea), figure, _wrapped(' '.join(more)))
    return '\n\n'.join(filter(None, parts))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 88, break_long_words=False, break_on_hyphens=False)


def _models(data: str, models: Sequence[Model]) -> str:
    """The table of one data set, with the sources of its figures."""
    metrics = list(dict.fromkeys(name for model in models for name in model.metrics))
    rows = [
        (
            f'[{model.name}]({Path(model.config).name})',
            ', '.join(f'`{alias}`' for alias in model.aliases),
            *size_of(model),
            *(f'{100 * found[m]:.1f}' if m in found else '–' for m in metrics),
        )
        for model in models
        for found in [model.metrics]
    ]
    head = ('config', 'short name', 'input (H x W)', 'params', 'MACs', *metrics)
    sources: dict[str, list[str]] = {}
    for model in models:
        if model.source:
            sources.setdefault(model.source, []).append(f'`{model.aliases[0]}`')
    lines = [f'- Published: {text} ({", ".join(who)})' for text, who in sources.items()]
    said = '\n'.join(['With flip test; sources and boxes:\n', *lines]) if lines else ''
    said = said or 'Nothing published.'
    return f'\n### {PARTS[data]}\n\n{table(head, rows)}\n\n{said}\n'


def _files(models: Sequence[Model]) -> str:
    """Published weights that are known by name."""
    rows = []
    for model in models:
        for file in model.files:
            names = ', '.join(f'`{name}`' for name in file.names)
            alias = f'`{file.alias}`' if file.alias else '–'
            said = f'{percent(file.metrics)} ({file.source})' if file.metrics else ''
            if file.boxes != DETECTOR:
                said += f'; boxes: {file.boxes}'
            if file.note:
                said += f'; {file.note}'
            said = said or ('as above' if model.metrics else '–')
            linked = f'[{names}]({file.url})' if file.url else names
            rows.append((linked, alias, f'`{model.aliases[0]}`', said))
    if not rows:
        return ''
    head = ('file', 'name', 'model', 'published for this file')
    return (
        '\n### Published weights\n\nFiles of these names have figures of their own in '
        '`tools/check_published.py`. Those with a\nname are fetched by it '
        '(`mmpose-lite download NAME`); the others are named like the research\n'
        "code's configs."
        f'\n\n{table(head, rows)}\n'
    )


def _own(collections: Sequence[Collection]) -> str:
    """What was measured in this project, of short names or configs of this folder."""
    rows = []
    for result in (result for collection in collections for result in collection.own):
        name = Path(result['Model'])
        linked = f'[{name.stem}]({name.name})' if name.suffix == '.py' else f'`{name}`'
        told = (result[column] for column in ('Data', 'Training', 'Test'))
        shares = (
            f'{metric} {value:.3f}' for metric, value in result['Metrics'].items()
        )
        rows.append((linked, *told, ', '.join(shares)))
    if not rows:
        return ''
    head = ('model', 'data', 'training', 'test', 'measured')
    return (
        f'\n## Measured here\n\n{table(head, rows)}\n\n'
        'Not comparable with published figures: other data, other budgets.\n'
    )


def bibtex(entry: Mapping[str, Any]) -> str:
    """A reference of ``CITATION.cff`` as BibTeX."""
    kind, field, place = KINDS[entry['type']]
    people = ['{family-names}, {given-names}'.format(**one) for one in entry['authors']]
    first = entry['authors'][0]['family-names'].lower()
    word = re.sub(r'\W', '', entry['title'].split()[0].rstrip(':')).lower()
    rows = {
        'title': f'{{{entry["title"]}}}',
        'author': ' and '.join(people),
        field: entry[place],
        'year': str(entry['year']),
        'doi': entry.get('doi'),
        'url': entry.get('url'),
    }
    lines = [f'  {name} = {{{value}}}' for name, value in rows.items() if value]
    return f'@{kind}{{{first}{entry["year"]}{word},\n' + ',\n'.join(lines) + '\n}'


def measured(text: str, models: Sequence[Model]) -> str:
    """A metafile with the parameters and MACs of the networks as they are built."""
    from mmpose_lite.analysis import complexity
    from mmpose_lite.loading import build_model, read_config

    for model in models:
        cfg = read_config(model.config)
        width, height = cfg.codec.input_size
        cost = complexity(build_model(cfg), (height, width))
        entry = rf'(- Name: {re.escape(model.name)}\n.*?Parameters: )\d+(\s+MACs: )\d+'
        counts = rf'\g<1>{cost.params}\g<2>{cost.macs}'
        text, found = re.subn(entry, counts, text, count=1, flags=re.DOTALL)
        if not found:
            raise ValueError(f'the metafile has no Parameters and MACs of {model.name}')
    return text


def pages() -> dict[Path, str]:
    """What every generated file should hold."""
    rows = []
    for model in (model for family in families() for model in family.models):
        linked = f'[{model.name}]({Path(model.config).relative_to(ROOT)})'
        rows.append((linked, *size_of(model), model.published))
    texts = {one.folder / 'README.md': family_page(one) for one in families()}
    for name, head in HEADS.items():
        text = (ROOT / name).read_text()
        texts[ROOT / name] = fill_marked(text, 'model table', table(head, rows))
    return texts


def metafiles(pattern: str) -> dict[Path, str]:
    """What the metafiles of the models of a name or pattern should hold."""
    wanted, texts = list_models(pattern), {}
    for family in families():
        if models := [model for model in family.models if model in wanted]:
            path = family.folder / 'metafile.yml'
            texts[path] = measured(path.read_text(encoding='utf-8'), models)
    return texts


def update(texts: Mapping[Path, str], *, write: bool) -> bool:
    """Name the files that are not current, and write them; whether there were any."""
    stale = False
    for path, text in texts.items():
        if not path.is_file() or path.read_text(encoding='utf-8') != text:
            stale = True
            print(path.relative_to(ROOT), 'written' if write else 'is not current')
            if write:
                write_atomically(path, text.encode())
    return stale


def main() -> int:
    """Rewrite what is not current, or with ``--check`` only name it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing')
    said = 'build and count all networks, or those of a pattern'
    parser.add_argument('--measure', nargs='?', const='*', metavar='PATTERN', help=said)
    args = parser.parse_args()
    stale = False
    if args.measure:
        stale = update(metafiles(args.measure), write=not args.check)
    families.cache_clear()
    stale |= update(pages(), write=not args.check)
    return int(args.check and stale)


if __name__ == '__main__':
    sys.exit(main())
