"""Predictors: an image in, an image out. One file per predictor; base.py holds what they share."""
