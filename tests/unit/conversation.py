"""Talks to an explorer as its browser side does, without a browser."""

from __future__ import annotations

import threading

import numpy as np


class Conversation:
    """Sends requests to an explorer and collects what it answers.

    Stands in for the comm: what the explorer would send to the front end is kept here.
    """

    def __init__(self, explorer, view="test"):
        self.messages = []
        self._explorer, self._view, self._count = explorer, view, 0
        self._arrived = threading.Condition()
        explorer.send = self._receive

    def _receive(self, content, buffers=None):
        with self._arrived:
            self.messages.append((content, buffers))
            self._arrived.notify_all()

    def send(self, kind, selection, pad=0):
        """Ask without waiting; returns the id."""
        self._count += 1
        identity = f"{self._view}:{self._count}"
        message = {"id": identity, "kind": kind, "selection": selection, "pad": pad}
        self._explorer._receive(self._explorer, message, [])
        return identity

    def last_of(self, identity, seconds=30):
        """The message that ends a request: its final reply, error, or superseded notice."""

        def found():
            return [
                message
                for message in self.messages
                if message[0]["id"] == identity
                and "partial" not in message[0]
                and "waiting" not in message[0]
            ]

        with self._arrived:
            assert self._arrived.wait_for(found, seconds), f"{identity} was never answered"
            return found()[0]

    def ask(self, kind, selection, pad=0):
        """Ask and wait; returns the content and the arrays by name."""
        content, buffers = self.last_of(self.send(kind, selection, pad))
        assert "error" not in content, content["error"]
        return content["content"], unpacked(content, buffers)

    def error(self, kind, selection):
        """Ask and wait for the sentence of an error."""
        return self.last_of(self.send(kind, selection))[0]["error"]


def unpacked(content, buffers):
    """The arrays of a reply."""
    (buffer,) = buffers
    return {
        name: np.frombuffer(
            buffer, array["dtype"], int(np.prod(array["shape"])), array["offset"]
        ).reshape(array["shape"])
        for name, array in content["arrays"].items()
    }
