"""Builds the documentation site: pages that are made from the source, and links that hold.

mkdocs.yml names hooks.py. Nothing here imports torch, so that the site is built without it.
"""
