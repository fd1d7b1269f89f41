"""Published accuracy against multiply-accumulates, from the metafiles."""

from __future__ import annotations

from pathlib import Path

import yaml
from matplotlib.figure import Figure

from .canvas import BLUE, DPI, GREY, INK, ORANGE, ROSE, png

ROOT = Path(__file__).resolve().parents[2]
COLOURS = {
    'Lite-HRNet': BLUE,
    'X-HRNet': '#56b4e9',
    'TokenPose': ORANGE,
    'Polarized Self-Attention': ROSE,
}
MARKERS = {'256x192': 'o', '384x288': 's'}
# Names that would lie on others: their shift in points, and the end at the point.
ASIDE = {
    'litehrnet-18': (6, -1, 'left'),
    'naive-litehrnet-18': (6, -1, 'left'),
    'wider-naive-litehrnet-18': (6, -2, 'left'),
    'litehrnet-30': (7, -4, 'left'),
    'xhrnet-s30': (-6, 1, 'right'),
    'litehrnet-18 384': (7, -1, 'left'),
    'litehrnet-30 384': (7, -1, 'left'),
    'hrnet-w48-psa-s 384': (0, -22, 'center'),
}


def _published() -> list[tuple[str, str, str, float, float, float]]:
    """Name, family, input size, GMACs, million parameters and AP on COCO val2017."""
    found = []
    for path in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']:
        for model in yaml.safe_load((ROOT / path).read_text())['Models']:
            data = model['Metadata']
            for result in model.get('Results', []):
                if result['Dataset'] != 'COCO' or 'AP' not in result['Metrics']:
                    continue
                short = model['Name'].removeprefix('td-hm_').partition('_')[0]
                size = data['Input Size']
                found.append((
                    short if size == '256x192' else f'{short} 384',
                    model['In Collection'],
                    size,
                    data['MACs'] / 1e9,
                    data['Parameters'] / 1e6,
                    100 * result['Metrics']['AP'],
                ))  # fmt: skip
    return found


def draw() -> bytes:
    """The whole picture."""
    figure = Figure((8, 4.6), dpi=DPI)
    axis = figure.add_axes((0.08, 0.12, 0.9, 0.84))
    for name, family, size, macs, params, ap in _published():
        axis.plot(
            macs,
            ap,
            MARKERS[size],
            ms=4 + 1.1 * params**0.5,
            color=COLOURS[family],
            alpha=0.75,
            mew=0,
        )
        right, up, side = ASIDE.get(name, (0, 6 + 0.6 * params**0.5, 'center'))
        axis.annotate(
            name,
            (macs, ap),
            xytext=(right, up),
            textcoords='offset points',
            size=7,
            color=INK,
            ha=side,
            va='bottom' if side == 'center' else 'center',
        )
    axis.set_xscale('log')
    axis.set(xlim=(0.14, 70), ylim=(61.5, 82))
    axis.set_xticks([0.2, 0.5, 1, 2, 5, 10, 20, 50])
    axis.set_xticklabels(['0.2', '0.5', '1', '2', '5', '10', '20', '50'])
    axis.minorticks_off()
    axis.set_xlabel('GMACs of one image (counted here)', size=8, color=INK)
    axis.set_ylabel('AP on COCO val2017, as published', size=8, color=INK)
    axis.tick_params(labelsize=7.5, colors=GREY)
    axis.grid(color='#e3e6ea', lw=0.7)
    axis.set_axisbelow(True)
    for side in ('top', 'right'):
        axis.spines[side].set_visible(False)
    for family, colour in COLOURS.items():
        axis.plot([], [], 'o', color=colour, label=family)
    axis.plot([], [], 's', color=GREY, label='input 384x288')
    axis.legend(fontsize=7.5, frameon=False, loc='lower right')
    return png(figure)
