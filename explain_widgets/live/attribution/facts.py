"""What ran in a forward: the operations of its graph, beside the modules that were called."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch

from explain_widgets.live.access import Access
from explain_widgets.live.attribution.graph import operations
from explain_widgets.live.batches import Batches
from explain_widgets.live.modules import shape
from explain_widgets.live.recorder import Wanted
from explain_widgets.live.runs import Run


@dataclass(frozen=True, eq=False)
class Facts:
    """What ran.

    Attributes
    ----------
    operations
        How often each operation is in the graph.
    calls
        How often each module was called, by its name; modules without children.
    types
        Their classes, by name.
    """

    operations: Counter[str]
    calls: dict[str, int]
    types: dict[str, type]

    def modules_of(self, *kinds: type) -> dict[str, int]:
        """Name and number of calls of the modules of exactly these classes."""
        return {name: self.calls[name] for name, kind in self.types.items() if kind in kinds}


def facts(access: Access, batches: Batches) -> Facts:
    """What runs in a forward of such inputs: one more forward, once."""
    sample = batches.sample
    key = ("facts", *map(shape, batches.arguments.values()))
    kept: Facts | None = access.known.get(key)
    if kept is not None:
        return kept
    target = batches.target
    with access.reading():
        found: list[Facts] = []
        leaves = {
            name: tensor.detach().requires_grad_()
            for name, tensor in batches.arguments.items()
            if tensor.is_floating_point()
        }

        def finish(run: Run) -> None:
            assert run.recorder is not None
            assert run.module is not None
            calls = {row.name: row.calls for row in run.recorder.table() if row.calls}
            types = {
                name: type(module)
                for name, module in run.module.named_modules()
                if calls.get(name) and not any(True for _ in module.children())
            }
            score = access.target(run.output, target, sample.index)
            found.append(Facts(operations(score), {name: calls[name] for name in types}, types))

        with torch.enable_grad():
            inputs = batches.inputs({}, leaves)
        access.run(sample.index, Wanted(), "activations", finish, inputs)
        access.known[key] = found[0]
        return found[0]
