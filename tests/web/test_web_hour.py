"""tools/load_web.py, which lets users loose on the server for an hour, for some seconds."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

for _package in ("fastapi", "uvicorn", "prometheus_client", "multipart", "gradio"):
    pytest.importorskip(_package, reason="needs the extra `web`")

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory from /proc")
def test_half_a_minute_of_users():
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "load_web.py"), "--minutes", "0.5", "--users", "8"],
                          capture_output=True, text=True, timeout=900)
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr[-2000:]
    assert (report["wrong"], report["stuck"], report["ending"]) == (0, 0, "clean")
    assert sum(report["requests"].values()) > 5 and report["faults_in_log"] == 0
