"""The training room: pretrains causal and BERT models in torch from packed Arrow shards, and
exports them.
"""
