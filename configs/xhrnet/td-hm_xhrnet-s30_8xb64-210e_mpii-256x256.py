_base_ = ['./td-hm_xhrnet-s18_8xb64-210e_mpii-256x256.py']

model = dict(backbone=dict(arch='s30'))
