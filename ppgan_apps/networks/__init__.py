"""The networks, one file per published architecture; import them from their files, since each imports paddle."""
from ..runtime import import_paddle

import_paddle()
