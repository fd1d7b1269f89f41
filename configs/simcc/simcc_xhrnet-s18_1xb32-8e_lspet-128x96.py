_base_ = ['./simcc_litehrnet-18_1xb32-8e_lspet-128x96.py']

model = dict(backbone=dict(_delete_=True, type='XHRNet', arch='s18'))
