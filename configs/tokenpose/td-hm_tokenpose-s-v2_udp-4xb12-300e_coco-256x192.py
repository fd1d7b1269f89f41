_base_ = ['./td-hm_tokenpose-s-v1_udp-4xb32-300e_coco-256x192.py']

train_dataloader = dict(batch_size=12)
auto_scale_lr = dict(base_batch_size=48)
model = dict(head=dict(patch_size=(2, 2)))
