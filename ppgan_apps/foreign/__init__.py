"""Weight files of other projects, brought into the suite's names and orders: one module per project, and the readers.

Neither PyTorch nor TensorFlow is needed, and nothing in a file is executed.
"""

from .importing import FAMILIES, import_file, read_layout, read_network

__all__ = ["FAMILIES", "import_file", "read_layout", "read_network"]
