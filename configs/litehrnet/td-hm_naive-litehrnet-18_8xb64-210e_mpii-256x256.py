_base_ = ['./td-hm_litehrnet-18_8xb64-210e_mpii-256x256.py']

# The published file says in_channels=40, with which it cannot run.
model = dict(backbone=dict(arch='naive-18'), head=dict(in_channels=30))
