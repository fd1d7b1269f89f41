_base_ = ['./rtmcc_litehrnet-18_8xb64-210e_coco-256x192.py']

model = dict(backbone=dict(_delete_=True, type='XHRNet', arch='s18', with_head=False))
