# Network found by a search with HR-NAS, written by mmpose-lite retrain.
#
# search   td-hm_hrnas-mini_1xb32-8e_lspet-128x96: averaged weights of epoch_8.pth
# trained  8 epochs, 600 iterations, seed 0, saved 2026-11-22 05:15:37
# data     Leeds Sports Pose Extended, annotations/lspet_train.json
# budget   macs = 2e+07
# network  0.020 GMACs, 0.096 M parameters at 128x96 (H x W)
#          of 0.094 GMACs, 0.219 M parameters of the supernet
#
# Training starts from scratch. docs/search.md compares it with the supernet thinned
# uniformly; tools/search_demo.py repeats search and comparison.
_base_ = ['../td-hm_hrnas-mini_1xb32-8e_lspet-128x96.py']
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
