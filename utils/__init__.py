"""What the other parts share: values, configuration, files, boxes; and the project's version.

It never imports models or data.
"""

__version__ = "0.9.0"
