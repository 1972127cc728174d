"""Inputs for files that a job opens itself: by themselves they would decode a picture before a limit is looked at."""
from __future__ import annotations

from typing import Any

import gradio as gr


def photo(**options: Any) -> gr.Image:
    """A picture from the disk (also dropped on it), the camera or the clipboard, given to the work as a path or None.
    """
    return _given_as_path(gr.Image(type="filepath", sources=["upload", "webcam", "clipboard"], height=360,
                                   buttons=["fullscreen"], interactive=True, **options))


def film(**options: Any) -> gr.Video:
    """A video from the disk (also dropped on it) or the camera, given to the work as a path or None."""
    return _given_as_path(gr.Video(sources=["upload", "webcam"], interactive=True, buttons=[], **options))


def _given_as_path(component: Any) -> Any:
    # Not by a class of our own: Gradio writes a .pyi file beside each module that has one.
    component.preprocess = lambda payload: payload.path if payload is not None else None
    return component
