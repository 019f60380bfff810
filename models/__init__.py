"""Networks: graphs in YAML, the blocks they name, heads and losses.

Pictures come from data/, results go to scripts.
"""
