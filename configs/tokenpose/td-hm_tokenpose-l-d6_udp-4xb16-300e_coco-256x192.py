_base_ = ['./td-hm_tokenpose-l-d24_udp-4xb16-300e_coco-256x192.py']

# No official file names this network's batch; it is that of L/D24.
model = dict(head=dict(depths=(2, 2, 2), num_heads=8))
