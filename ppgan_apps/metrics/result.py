"""What a metric returns: its name, its numbers and the protocol without which they mean nothing."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """One measurement. `values` holds one number or several by name; `protocol` all that one must know to repeat it."""

    metric: str                         # "FID", or "Frechet distance" where the features are not Inception's
    values: dict[str, float]
    protocol: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"metric": self.metric, **self.values, "protocol": self.protocol}

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.6g}" if name != "value" else f"{value:.6g}"
                            for name, value in self.values.items())
        terms = ", ".join(f"{name} {value}" for name, value in self.protocol.items())
        return f"{self.metric}: {numbers} ({terms})"
