"""How the pages look: the theme, the style sheet, and what stands in their head. No font or script from elsewhere."""
from __future__ import annotations

import gradio as gr

from .texts import TAGS

FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "PingFang SC",
        "Microsoft YaHei", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

CSS = """
.gradio-container {width: 100%; min-width: 0; max-width: min(1080px, 100vw) !important; margin: 0 auto !important;
  padding: 0 16px 32px !important; box-sizing: border-box}
.gradio-container .main {width: 100%; min-width: 0; padding: 8px 0 !important; box-sizing: border-box}
.gradio-container .main > .wrap, .gradio-container .main main {min-width: 0}
.gradio-container .html-container {padding: 0 !important}
.masthead header {display: flex; gap: 24px; justify-content: space-between; align-items: flex-start;
  padding: 20px 0 4px}
.masthead h1 {font-size: 1.75rem; line-height: 1.2; margin: 0; font-weight: 700}
.masthead p {margin: 6px 0 0; color: var(--body-text-color-subdued); max-width: 42rem}
.masthead nav {display: flex; gap: 8px; flex-shrink: 0}
.masthead nav a {border: 1px solid var(--border-color-primary); border-radius: 999px; padding: 4px 14px;
  color: var(--body-text-color); text-decoration: none; white-space: nowrap; font-size: .9rem}
.masthead nav a:hover {border-color: var(--color-accent)}
.status {margin: 0; padding: 10px 14px; border-radius: 10px; border-left: 4px solid var(--border-color-primary);
  background: var(--background-fill-secondary); color: var(--body-text-color)}
.status.busy {border-color: var(--color-accent)}
.status.done {border-color: #16a34a}
.status.fault {border-color: #dc2626; background: color-mix(in srgb, #dc2626 10%, transparent)}
.status.stopped {border-color: #d97706}
.status.busy::before {content: ""; display: inline-block; width: 12px; height: 12px; margin-right: 10px;
  border: 2px solid var(--color-accent); border-right-color: transparent; border-radius: 50%; vertical-align: -1px;
  animation: turn .9s linear infinite}
@keyframes turn {to {transform: rotate(360deg)}}
@media (prefers-reduced-motion: reduce) {.status.busy::before {animation: none}}
.seed {align-items: flex-end !important; flex-wrap: nowrap !important}
.gradio-container video {max-height: 360px}
.models table {width: 100%; border: 0 !important; border-collapse: collapse; font-size: .9rem}
.models th {text-align: left; padding: 8px 12px 8px 0; white-space: nowrap}
.models td {padding: 8px 12px 8px 0 !important; vertical-align: top}
.models th, .models td {border: 0 !important; border-top: 1px solid var(--border-color-primary) !important}
.models td:nth-child(3) {white-space: nowrap}
.models .embedded, .models .cached {color: #15803d; font-weight: 600; white-space: nowrap}
.dark .models .embedded, .dark .models .cached {color: #4ade80}
.models .absent {color: var(--body-text-color-subdued); white-space: nowrap}
.credit {color: var(--body-text-color-subdued); font-size: .85rem; margin: 16px 0 0}
footer {display: none !important}
@media (max-width: 640px) {
  .gradio-container {padding: 0 12px 24px !important}
  .masthead header {flex-direction: column; gap: 12px; padding-top: 14px}
  .masthead h1 {font-size: 1.4rem}
  .models thead {display: none}
  .models tr {display: block; padding: 10px 0; border-top: 1px solid var(--border-color-primary)}
  .models td {display: block; border: 0 !important; padding: 2px 0 !important}
  .main-tabs .tab-container button {padding: 0 5px !important; font-size: .85rem !important}
  .models td:empty {display: none}
  .models td:not(:first-child)::before {content: attr(data-label) ": "; color: var(--body-text-color-subdued)}
}
"""


def theme() -> gr.themes.Base:
    """Plain, with fonts that every system has."""
    return gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", radius_size="lg", font=FONT, font_mono=MONO)


def head(language: str) -> str:
    """Has Gradio's own words be in the page's language, which may be another than the browser's."""
    tag = TAGS[language]
    return (f'<meta name="color-scheme" content="light dark"><link rel="icon" href="/favicon.ico">'
            f"<script>document.documentElement.lang='{tag}';"
            f"Object.defineProperty(navigator,'language',{{get:()=>'{tag}'}});"
            f"Object.defineProperty(navigator,'languages',{{get:()=>['{tag}']}});</script>")
