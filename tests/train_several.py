"""Trains the runs that a JSON file lists, one after another: what the processes of a launched test do."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppgan_apps import config, trainer  # noqa: E402

for values in json.loads(Path(sys.argv[1]).read_text()):
    trainer.train(config.parse_run(values))
