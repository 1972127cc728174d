"""The API's reference as one plain page, made from its OpenAPI schema: FastAPI's own pages load scripts from elsewhere.
"""
from __future__ import annotations

from html import escape
from typing import Any

ICON = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" '
        'fill="#4f46e5"/><circle cx="16" cy="14" r="7" fill="#fff"/><path d="M4 32a12 9 0 0 1 24 0z" fill="#fff"/>'
        '</svg>')
STYLE = """\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem;color:#1f2937;background:#fff}
h2{margin:2rem 0 .25rem;font-size:1.1rem}code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:#f3f4f6;padding:.75rem;border-radius:.5rem;overflow-x:auto}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top}
td{border-top:1px solid #e5e7eb}.method{background:#4f46e5;color:#fff;border-radius:.25rem;padding:.1rem .4rem}
@media(prefers-color-scheme:dark){body{color:#e5e7eb;background:#111827}pre{background:#1f2937}td{border-color:#374151}
a{color:#a5b4fc}}"""


def page(schema: dict[str, Any], prefix: str) -> str:
    """HTML of every operation: what it does, what it takes, what it answers, and a curl line."""
    parts = [f"<p>{escape(schema['info']['description'])}</p>",
             f'<p><a href="{prefix}/openapi.json">openapi.json</a> &middot; <a href="/">the pages</a></p>']
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(schema, prefix + path, method, operation))
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ppgan_apps: HTTP API</title>'
            f'<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="/favicon.ico">'
            f'<style>{STYLE}</style></head><body><h1>ppgan_apps: HTTP API</h1>{"".join(parts)}</body></html>')


def _operation(schema: dict[str, Any], address: str, method: str, operation: dict[str, Any]) -> str:
    fields = _fields(schema, operation)
    answers = [f"<tr><td><code>{code}</code></td><td>{escape(answer['description'])}</td></tr>"
               for code, answer in operation["responses"].items()]
    return (f'<h2><span class="method">{method.upper()}</span> <code>{escape(address)}</code></h2>'
            f"<p>{escape(operation.get('description', ''))}</p>"
            + (f"<table><tr><th>Takes</th><th>Kind</th><th>What it is</th></tr>{''.join(map(_row, fields))}</table>"
               if fields else "")
            + f"<table><tr><th>Answers</th><th></th></tr>{''.join(answers)}</table>"
            f"<pre>{escape(_curl(address, method, operation, fields))}</pre>")


def _fields(schema: dict[str, Any], operation: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(name, kind, description, whether it has to be given) of all that an operation takes."""
    found = [(entry["name"], _kind(entry["schema"]), entry.get("description", ""), entry.get("required", False))
             for entry in operation.get("parameters", ())]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        body = content["schema"]
        while "$ref" in body or "allOf" in body:
            body = body["allOf"][0] if "allOf" in body else schema["components"]["schemas"][body["$ref"].split("/")[-1]]
        found += [(name, _kind(entry), entry.get("description", ""), name in body.get("required", ()))
                  for name, entry in body["properties"].items()]
    return found


def _kind(entry: dict[str, Any]) -> str:
    """A field's kind, its bounds and what it is without being given, in few words."""
    entry = {**next((choice for choice in entry.get("anyOf", ()) if choice.get("type") != "null"), {}), **entry}
    if "enum" in entry:
        kind = " or ".join(map(str, entry["enum"]))
    elif entry.get("format") == "binary" or "contentMediaType" in entry:
        kind = "file"
    else:
        kind = entry.get("type", "")
    lowest, highest = entry.get("minimum"), entry.get("maximum")
    bounds = f", {lowest:g} to {highest:g}" if lowest is not None and highest is not None else ""
    default = entry.get("default")
    return kind + bounds + (f", {str(default).lower() if isinstance(default, bool) else default} if not given"
                            if default is not None else "")


def _row(field: tuple[str, str, str, bool]) -> str:
    name, kind, description, required = field
    return (f"<tr><td><code>{escape(name)}</code>{' *' if required else ''}</td><td>{escape(kind)}</td>"
            f"<td>{escape(description)}</td></tr>")


def _curl(address: str, method: str, operation: dict[str, Any], fields: list[tuple[str, str, str, bool]]) -> str:
    verb = "" if method == "get" else f" -X {method.upper()}"
    content = operation.get("requestBody", {}).get("content", {})
    kinds = operation["responses"].get("200", {}).get("content", {})
    target = next((f" -o result{suffix}" for kind, suffix in (("image/png", ".png"), ("video/mp4", ".mp4"))
                   if kind in kinds), "")
    if "multipart/form-data" in content:
        return f"curl -F file=@{'clip.mp4' if 'video/mp4' in kinds else 'photo.jpg'} $SERVER{address}{target}"
    if "application/json" in content:
        given = ", ".join(f'"{name}": {"[1, 2, 3, 4]" if kind.startswith("array") else 1}'
                          for name, kind, _, required in fields if required)
        return f"curl -H 'Content-Type: application/json' -d '{{{given}}}' $SERVER{address}{target}"
    return f"curl{verb} $SERVER{address}{target}"
