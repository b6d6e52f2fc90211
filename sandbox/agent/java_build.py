"""Compiles a Java program whose class may have any name: `python3 -I -S /agent/java_build.py SOURCE`.

What is decided here: the file is called after its public class, as the compiler demands; what is run is the class
that has `main`, the public one first. The class goes into `run.args`, which the launcher reads as its arguments.
"""

import os
import re
import sys

_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.MULTILINE)
_PUBLIC = re.compile(
    r"\bpublic\s+(?:(?:final|abstract|sealed|strictfp)\s+)*(?:class|interface|enum|record)\s+(\w+)"
)
_TOKEN = re.compile(
    r"\b(?:class|interface|enum|record)\s+(\w+)|([{}])|(\bstatic\s+(?:final\s+|synchronized\s+)*void\s+main\s*\()"
)
_NOISE = re.compile(
    r'/\*.*?\*/|//[^\n]*|"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)+\'', re.DOTALL
)
COMPILER = ("javac", "-J-Xmx512m", "-J-Xshare:auto", "-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC",
            "-J-XX:-UsePerfData", "-proc:none", "-nowarn", "-encoding", "UTF-8", "-d", ".")  # fmt: skip


def names(source: str) -> tuple[str, str]:
    """(name of the file without `.java`, class to run with its package)."""
    bare = _NOISE.sub(" ", source)
    package, public = _PACKAGE.search(bare), _PUBLIC.search(bare)
    entry = main_class(bare) or (public[1] if public else "Main")
    file = public[1] if public else entry.partition("$")[0]
    return file, f"{package[1]}.{entry}" if package else entry


def main_class(bare: str) -> str:
    """The class around the first `static void main(`, nested ones as `Outer$Inner`; else the first; else ""."""
    around: list[str] = []
    declared = first = ""
    for name, brace, _ in (found.groups() for found in _TOKEN.finditer(bare)):
        if name:
            declared = name
            first = first or name
        elif brace == "{":
            around.append(declared)
            declared = ""
        elif brace == "}":
            if around:
                around.pop()
        elif classes := [kind for kind in around if kind]:
            return "$".join(classes)
    return first


def main() -> None:
    """Rename, note the class, and become the compiler."""
    path = sys.argv[1]
    with open(path, encoding="utf-8") as file:
        name, entry = names(file.read())
    if f"{name}.java" != path:
        os.rename(path, f"{name}.java")
    with open("run.args", "w", encoding="utf-8") as file:
        file.write(entry)
    os.execvp(COMPILER[0], [*COMPILER, f"{name}.java"])


if __name__ == "__main__":
    main()
