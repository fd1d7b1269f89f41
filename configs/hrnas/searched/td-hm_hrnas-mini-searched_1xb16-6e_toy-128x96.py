# Network found by a search with HR-NAS, written by mmpose-lite retrain.
#
# search   td-hm_hrnas-mini_1xb16-6e_toy-128x96: averaged weights of epoch_6.pth
# trained  6 epochs, 576 iterations, seed 0, saved 2026-11-22 05:41:55
# data     toy people: 800 images drawn for training, 150 held out
# budget   macs = 2e+07
# network  0.020 GMACs, 0.087 M parameters at 128x96 (H x W)
#          of 0.094 GMACs, 0.219 M parameters of the supernet
#
# Training starts from scratch. docs/search.md compares it with the supernet thinned
# uniformly; tools/search_demo.py repeats search and comparison.
_base_ = ['../td-hm_hrnas-mini_1xb16-6e_toy-128x96.py']
model = dict(
    resource=None,
    backbone=dict(space=None, arch='{{fileDirname}}/{{fileBasenameNoExtension}}.json'),
)
# Without what acts on a supernet.
custom_hooks = [
    hook
    for hook in _base_.custom_hooks
    if hook['type'].rpartition('.')[2]
    not in ('PenaltyHook', 'ShrinkHook', 'EMAHook', 'BNRecalibrationHook')
]
