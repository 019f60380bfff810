"""What the other packages share: values, configuration, files, boxes, and the project's version.

Nothing here imports models or data.
"""

from utils.version import __version__ as __version__
