"""How far attributions can be trusted: what is asked of the model beside them."""

from __future__ import annotations
