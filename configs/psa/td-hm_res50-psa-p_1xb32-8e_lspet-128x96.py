_base_ = ['../baselines/baseline_mmpose-res50_1xb32-8e_lspet-128x96.py']

model = dict(backbone=dict(type='PSAResNet', layout='parallel'))
