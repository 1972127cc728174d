"""One file per GAN family; `family:` in a YAML is the name of the file."""
from ..runtime import import_paddle

import_paddle()
