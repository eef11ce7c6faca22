"""Shows the files of tests/unit/test_safetensors.c to the Rust crate (PyPI package safetensors) and compares the verdicts.

usage: parity_safetensors.py [BUILD]      BUILD: the build folder that holds tests/unit/test_safetensors (default: build)

The test program itself asserts that we accept "accept-*" and refuse "refuse-*" and "stricter-*"; the crate must accept the first,
refuse the second, and accept the third (where we are stricter on purpose).
"""
import os
import subprocess
import sys
import tempfile

import safetensors

EXPECTED = {"accept": True, "refuse": False, "stricter": True}


def accepts(data):
    try:
        safetensors.deserialize(data)
        return True
    except Exception:
        return False


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    agree, wrong = 0, []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.path.join(build, "tests/unit/test_safetensors"), "--write-cases", folder], check=True)
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as file:
                verdict = accepts(file.read())
            if verdict == EXPECTED[name.split("-")[0]]:
                agree += 1
            else:
                wrong.append(f"{name}: the crate {'accepts' if verdict else 'refuses'} it")
    print("\n".join(wrong), end="\n" if wrong else "")
    print(f"safetensors {safetensors.__version__}: {agree} verdicts as expected, {len(wrong)} not")
    return 1 if wrong or not agree else 0


sys.exit(main())
