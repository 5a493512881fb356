"""What every bench prints: a table of goals and measurements."""

import sys


class Table:
    """Lines of what, goal, measured, and the best peer's figure; a line is printed when it is measured."""

    WIDTHS = (46, 12, 14, 30)

    def __init__(self):
        self.missed = []
        self._print("", "goal", "measured", "best peer")
        print("-" * 108)

    def _print(self, *cells):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, self.WIDTHS)).rstrip(), flush=True)

    def line(self, what, goal, measured, unit="", peer=""):
        """`goal` is the most that `measured` may be; None: shown only."""
        missed = goal is not None and measured > goal
        if missed:
            self.missed.append(what)

        def shown(value):
            text = f"{value:.2f}" if isinstance(value, float) and value < 100 else f"{value:.0f}"
            return f"{text} {unit}".strip()
        self._print(what, "" if goal is None else "<= " + shown(goal), shown(measured) + (" MISSED" if missed else ""),
                    f"({peer})" if peer else "")

    def end(self, strict):
        """The exit status."""
        if self.missed:
            print(f"\n{len(self.missed)} goals missed: {'; '.join(self.missed)}", file=sys.stderr)
        return 1 if strict and self.missed else 0
