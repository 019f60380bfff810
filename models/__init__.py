"""Networks: graphs in YAML, the blocks they name, heads and losses.

Images come from data/, results go to scripts.
"""
