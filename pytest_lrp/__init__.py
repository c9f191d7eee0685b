"""The pytest plugin of lrp-engine.

It lies beside the package so that loading it, which pytest does at every start, does not load
torch.
"""
