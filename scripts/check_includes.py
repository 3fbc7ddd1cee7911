#!/usr/bin/env python3
"""Include direction: a room includes itself and the rooms that its CMakeLists.txt NEEDS, nothing else.

Also: NEEDS has no cycle, and every quoted include names a file below src/.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def needs_of(room: pathlib.Path) -> list[str]:
    text = (room / "CMakeLists.txt").read_text()
    match = re.search(r"NEEDS\s+([a-z_\s]*?)(?:LIBRARIES|\))", text)
    return match.group(1).split() if match else []


def main() -> int:
    rooms = {p.parent.name: needs_of(p.parent) for p in SOURCE.glob("*/CMakeLists.txt")}
    rooms["bin"] = [r for r in rooms if r != "bin"]  # main() wires everything
    faults = []

    def visit(room: str, path: list[str]) -> None:
        if room in path:
            faults.append("rooms need each other in a circle: " + " -> ".join(path + [room]))
            return
        for need in rooms.get(room, []):
            if need not in rooms:
                faults.append(f"src/{room}/CMakeLists.txt needs room '{need}', which does not exist")
            else:
                visit(need, path + [room])

    for room in rooms:
        visit(room, [])

    for file in sorted(SOURCE.rglob("*")):
        if file.suffix not in (".h", ".cpp", ".cu"):
            continue
        room = file.relative_to(SOURCE).parts[0]
        here = file.relative_to(ROOT)
        for included in INCLUDE.findall(file.read_text()):
            target = SOURCE / included
            other = included.split("/")[0]
            if not target.is_file():
                faults.append(f'{here} includes "{included}", and there is no src/{included}')
            elif other != room and other not in rooms[room]:
                faults.append(
                    f"{here} includes src/{included}: room {room} may include only "
                    f"{', '.join([room] + rooms[room])} (src/{room}/CMakeLists.txt)"
                )
    for fault in sorted(set(faults)):
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
