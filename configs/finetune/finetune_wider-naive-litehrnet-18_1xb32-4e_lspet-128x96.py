# Fine-tuning on data of one's own in COCO's format; docs/finetuning.md explains it.
_base_ = '../litehrnet/td-hm_wider-naive-litehrnet-18_dark_8xb64-210e_coco-128x96.py'

root, train, val = 'data/lspet/', 'lspet_train.json', 'lspet_val.json'
num_keypoints = 14
own = dict(data_root=root, metainfo=dict(from_file='data/lspet_keypoints.py'))
load_from = 'weights/wider_naive_litehrnet18_tinypose_128_96.pth'

train_cfg = dict(max_epochs=4, val_interval=1)
new = {'head.final_layer': dict(lr_mult=20)}
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(custom_keys=new))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=4, convert_to_iter_based=True)]
model = dict(backbone=dict(norm_eval=True), head=dict(out_channels=num_keypoints))
train_set = dict(ann_file=f'annotations/{train}', data_prefix=dict(img='train/'))
val_set = dict(ann_file=f'annotations/{val}', data_prefix=dict(img='val/'))
train_dataloader = dict(batch_size=32, dataset=dict(**own, **train_set))
val_dataloader = dict(dataset=dict(**own, **val_set, bbox_file=None))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='CocoMetric', ann_file=f'{root}annotations/{val}'),
    dict(type='PCKAccuracy', thr=0.1),
]
test_evaluator = val_evaluator
