"""One file per GAN family; `family:` in a YAML is the name of the file."""
from ..config import recipe_folders
from ..runtime import import_paddle

__path__ = recipe_folders()                  # so that a file of the user's is a module of this package as well
import_paddle()
