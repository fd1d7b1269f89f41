_base_ = ['./td-hm_xhrnet-s18_8xb64-210e_coco-384x288.py']

# The published 384x288 file of depth 30 lists the modules of depth 18, surely a slip;
# this is depth 30.
model = dict(backbone=dict(arch='p30'))
