"""What the other packages share: values, configuration, files, boxes, and the project's version.

Nothing here imports models or data.
"""

__version__ = "0.9.0"
