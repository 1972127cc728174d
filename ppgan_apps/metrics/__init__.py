"""Distances between generated and real pictures, each stating its protocol: features, resizer, numbers, seed."""
