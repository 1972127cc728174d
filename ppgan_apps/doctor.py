"""`ppgan-apps doctor`: what the suite runs on here, what it has set and how to undo it, which weights are at hand."""
from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from . import __version__, engine_cache, engine_speed, engines, runtime, zoo

PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "numpy", "opencv-python-headless", "opencv-python", "dlib-bin", "onnx",
            "onnxruntime", "openvino", "av", "gradio", "visualdl", "ray", "paddleseg")


def examine() -> dict[str, Any]:
    """All that is printed, as JSON has it. Raises SuiteError for a PPGAN_APPS_ENGINE that is none."""
    device = runtime.device("auto")
    return {
        "versions": {"ppgan_apps": __version__, "python": platform.python_version(), **_packages()},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": engine_speed.processor(),
        "device": device,
        "threads": engines.threads(),
        "engine": _engine(device),
        "engines": {name: engines.installed(name) for name in engines.ENGINES if name != "auto"},
        "settings": _settings(),
        "measured": engine_speed.records(),
        "exported": {"folder": str(engine_cache.folder()), **_exported()},
        "weights": _weights(),
    }


def _packages() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _engine(device: str) -> str:
    """The one that is used, or "auto" where each network has its fastest."""
    chosen = engines.choose("auto", device)
    return chosen[0] if len(chosen) == 1 else "auto"


def _settings() -> list[dict[str, Any]]:
    """Each with what holds in this process: the suite's value, the user's, or None where it is left as it was."""
    on = runtime.tuned()
    rows = []
    for setting in runtime.settings():
        allocator = setting.name.startswith("MALLOC_")
        mine = allocator and on and runtime.keeps_freed_memory()
        value = setting.value if mine else os.environ.get(setting.name)
        rows.append({"name": setting.name, "value": value, "why": setting.why, "off": setting.off})
    return rows


def _exported() -> dict[str, int]:
    files = list(engine_cache.folder().glob("*.onnx"))
    return {"networks": len(files), "bytes": sum(file.stat().st_size for file in files)}


def _weights() -> list[dict[str, Any]]:
    return [{"name": record.name, "here": record.available(), "embedded": record.embedded,
             "file": str(record.file())} for record in zoo.records()]


def _measured_line(record: dict[str, Any]) -> str:
    seconds = record["seconds"]
    by_time = ", ".join(f"{name} {seconds[name]:.3f} s" for name in sorted(seconds, key=seconds.get))
    shape = "x".join(map(str, record.get("input", [])))
    return f"{record.get('class')} {shape}, {record.get('threads')} threads: {by_time}"


def run(as_json: bool = False) -> int:
    """The command: prints, and returns the exit code."""
    found = examine()
    print(json.dumps(found, indent=1) if as_json else report(found))
    return 0


def report(found: dict[str, Any]) -> str:
    """What `examine` found, for a person."""
    there = ", ".join(f"{name} {text}" for name, text in found["versions"].items() if text)
    missing = ", ".join(name for name, text in found["versions"].items() if not text)
    engine_names = ", ".join(name if here else f"{name} (not installed)" for name, here in found["engines"].items())
    exported = found["exported"]
    here = [record["name"] for record in found["weights"] if record["here"] and not record["embedded"]]
    lines = [
        f"versions    {there}",
        f"            not installed: {missing}",
        f"system      {found['system']}, {found['processor']}",
        f"device      {found['device']}, {found['threads']} threads",
        f"engine      {'the fastest for each network' if found['engine'] == 'auto' else found['engine']} (of "
        f"{engine_names}); choose with --engine or PPGAN_APPS_ENGINE",
        *(f"    {_measured_line(record)}" for record in found["measured"]),
        f"exported    {exported['networks']} networks, {exported['bytes'] / 1e6:.1f} MB in {exported['folder']} "
        "(may be removed)",
        "settings    all but ORT_DISABLE_TELEMETRY off with PPGAN_APPS_TUNE=0, each by a value of your own:",
    ]
    for setting in found["settings"]:
        value = "as the system has it" if setting["value"] is None else setting["value"]
        lines.append(f"    {setting['name']} = {value}: {setting['why']} (off: {setting['off']})")
    embedded = sum(record["embedded"] for record in found["weights"])
    lines.append(f"weights     {embedded} in the package; of the published ones here: {', '.join(here) or 'none'} "
                 "(`ppgan-apps zoo` has all)")
    return "\n".join(lines)
