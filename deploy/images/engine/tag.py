"""Print the name of the sandbox image that is built from a context: python.Dockerfile beside agent/*.py.

The same digest as `reward_service.sandbox_images.tag`, in a build stage that has Python and nothing else; a test
holds the two together. Service and agent so never speak different versions of their protocol: another name is
another image, and one that is missing is said.
"""

import hashlib
import sys
from pathlib import Path


def name(context: Path) -> str:
    """The image's name, by the content of its context."""
    files = [context / "python.Dockerfile", *(context / "agent").glob("*.py")]
    contents = {path.relative_to(context).as_posix(): path.read_bytes() for path in files}
    digest = hashlib.sha256()
    for path, content in sorted(contents.items()):
        digest.update(b"%d:%b%d:" % (len(path), path.encode(), len(content)))
        digest.update(content)
    return f"reward-service/sandbox-python:{digest.hexdigest()[:12]}"


if __name__ == "__main__":
    sys.stdout.write(name(Path(sys.argv[1])))
