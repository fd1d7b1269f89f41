_base_ = ['./td-hm_tokenpose-s-v1_udp-5xb16-300e_mpii-256x256.py']

# Ablation: the graph layers alone, without their mask; the control of -graph-mask,
# which has as many parameters.
model = dict(head=dict(graph_depth=8))
