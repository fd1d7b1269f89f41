_base_ = ['./td-hm_wider-naive-litehrnet-18_dark_8xb64-210e_coco-256x192.py']

codec = _base_.codec
codec.update(input_size=(96, 128), heatmap_size=(24, 32), sigma=1)
model = dict(head=dict(decoder=codec))

train_pipeline = _base_.train_pipeline
val_pipeline = _base_.val_pipeline
for step in (*train_pipeline, *val_pipeline):
    if step['type'] == 'TopdownAffine':
        step.update(input_size=codec['input_size'])
    elif step['type'] == 'GenerateTarget':
        step.update(encoder=codec)
del step
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
