"""Shared nouns: structures, configuration, geometry, evaluation, files, plots.

Never imports models or data.
"""
