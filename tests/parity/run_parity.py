"""Runs parity scripts one after the other and adds up their checks: usage run_parity.py BUILD SCRIPT...

A script prints a line "ok ..." or "not ok ..." for each check. One that prints none counts as a single check, by its exit code; one that
fails though all its lines are ok counts as one more failure.
"""
import os
import subprocess
import sys


def run(script, build):
    """(passed, failed) of one script, whose lines go out as they come."""
    print(f"# {script}", flush=True)
    passed = failed = 0
    with subprocess.Popen([sys.executable, script, build], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            passed, failed = passed + line.startswith("ok "), failed + line.startswith("not ok ")
    if process.returncode and not failed:
        print(f"not ok - {script} ended with {process.returncode}", flush=True)
        failed += 1
    elif not passed + failed:
        print(f"ok - {script}", flush=True)
        passed += 1
    return passed, failed


def main():
    build, scripts = sys.argv[1], sys.argv[2:]
    sums = [run(os.path.normpath(script), build) for script in scripts]
    passed, failed = (sum(s[i] for s in sums) for i in (0, 1))
    print(f"\n{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
