"""What every bench prints: a table of goals and measurements, and of promises.

A goal is missed on a slow machine, or a busy one. A promise is broken on none: a lost connection is lost everywhere.
"""

import sys


class Table:
    """Lines of what, goal, measured, and the best peer's figure; a line is printed when it is measured."""

    WIDTHS = (46, 12, 14, 30)

    def __init__(self):
        self.missed, self.broken = [], []
        self._print("", "goal", "measured", "best peer")
        print("-" * 108)

    def _print(self, *cells):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, self.WIDTHS)).rstrip(), flush=True)

    def line(self, what, goal, measured, unit="", peer=""):
        """`goal` is the most that `measured` may be; None: shown only."""
        self._line(what, goal, measured, unit, peer, self.missed, "MISSED")

    def promise(self, what, most, measured, unit="", peer=""):
        """As line(), for what must not happen on any machine: more than `most` makes the bench fail."""
        self._line(what, most, measured, unit, peer, self.broken, "BROKEN")

    def broke(self, what):
        """A promise was broken in a way that has no figure."""
        print("BROKEN:", what, flush=True)
        self.broken.append(what)

    def _line(self, what, most, measured, unit, peer, offenders, word):
        exceeded = most is not None and measured > most
        if exceeded:
            offenders.append(what)

        def shown(value):
            text = f"{value:.2f}" if isinstance(value, float) and value < 100 else f"{value:.0f}"
            return f"{text} {unit}".strip()
        self._print(what, "" if most is None else "<= " + shown(most), shown(measured) + (f" {word}" if exceeded else ""),
                    f"({peer})" if peer else "")

    def end(self, strict):
        """The exit status: 1 when a promise was broken, with `strict` also when a goal was missed."""
        for name, offenders in (("promises broken", self.broken), ("goals missed", self.missed)):
            if offenders:
                print(f"\n{len(offenders)} {name}: {'; '.join(offenders)}", file=sys.stderr)
        return 1 if self.broken or (strict and self.missed) else 0
