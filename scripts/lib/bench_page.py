"""The table of a bench in a page of docs: each part's lines stand between two marks, with the command that made them."""

import io
import sys


class Tee(io.TextIOBase):
    """What is printed goes on to where it went, and is kept until take()."""

    def __init__(self, output):
        self.output, self.kept = output, io.StringIO()

    def write(self, text):
        self.kept.write(text)
        return self.output.write(text)

    def flush(self):
        self.output.flush()

    def take(self):
        text, self.kept = self.kept.getvalue(), io.StringIO()
        return text


class Page:
    """A file with the lines `<!-- NAME -->` and `<!-- end of NAME -->` for each part."""

    def __init__(self, path, names):
        self.path = path
        text = self._text()
        missing = [name for name in names if not all(text.count(mark) == 1 for mark in self._marks(name))]
        if missing:
            sys.exit(f"{path} has no place for {', '.join(missing)}: a line {self._marks(missing[0])[0]} and a line "
                     f"{self._marks(missing[0])[1]}")

    def _text(self):
        with open(self.path) as file:
            return file.read()

    @staticmethod
    def _marks(name):
        return f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"

    def put(self, name, head, lines):
        begin, end = self._marks(name)
        text = self._text()
        before, rest = text.split(begin)
        with open(self.path, "w") as file:
            file.write(f"{before}{begin}```\n{head.strip()}\n\n{lines.strip()}\n```\n{end}{rest.split(end)[1]}")
