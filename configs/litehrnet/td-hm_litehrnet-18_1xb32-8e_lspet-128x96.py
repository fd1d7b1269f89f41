_base_ = ['../_base_/lspet_128x96.py']

model = dict(backbone=dict(type='mmpose_lite.LiteHRNet', arch='18'))
