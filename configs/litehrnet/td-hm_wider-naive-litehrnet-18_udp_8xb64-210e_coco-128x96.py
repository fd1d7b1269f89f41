# The name of before; this geometry was never UDP heatmaps'.
_base_ = ['./td-hm_wider-naive-litehrnet-18_dark_8xb64-210e_coco-128x96.py']
