"""Inputs for files that a job opens itself: Gradio's own would decode a picture of any size before a limit is looked at.
"""
from __future__ import annotations


import gradio as gr


class Photo(gr.Image):
    """A picture from the disk, the clipboard or the camera, given to the work as a path or None."""

    is_template = True                                         # shown by Gradio's own component of this kind

    def __init__(self, **options):
        super().__init__(type="filepath", sources=["upload", "webcam", "clipboard"], height=360, buttons=["fullscreen"],
                         interactive=True, **options)

    def preprocess(self, payload) -> str | None:
        return payload.path if payload is not None else None


class Film(gr.Video):
    """A video from the disk or the camera, given to the work as a path or None."""

    is_template = True

    def __init__(self, **options):
        super().__init__(sources=["upload", "webcam"], height=360, interactive=True, buttons=[], **options)

    def preprocess(self, payload) -> str | None:
        return payload.path if payload is not None else None
