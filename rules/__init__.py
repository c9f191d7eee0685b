"""Define the method: what each op is, how relevance passes through it, and the presets.

Every module here is read by the registry; a new op or rule needs no list to be edited.
"""
