"""Several ways in, one command model: a carrier brings messages, a format makes records of them, a mapping requests.

`assembly.channels_for` builds what a site's YAML names.
"""
