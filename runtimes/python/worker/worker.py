"""The Python worker. This file is short because Python compiles it at each start,
unlike the modules that it imports."""

import os
import sys


def own_path():
    """Import the worker's modules from its folder and the standard library only, and
    return what finds the function's modules after that."""
    folder = os.path.dirname(os.path.abspath(__file__))
    users = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path[:] = [folder] + [p for p in sys.path if p not in users and p not in ("", folder)]

    def function_path():
        # The worker's folder stays for processes that multiprocessing starts. Installed
        # packages come after the standard library, as the image has it for any interpreter.
        sys.path[:] = [os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd()] + users + sys.path[1:] + [folder]
        installed = os.path.join(os.path.dirname(folder), "dependencies")
        if os.path.isdir(installed):
            os.environ["PATH"] = os.environ.get("PATH", os.defpath) + os.pathsep + os.path.join(installed, "bin")
            if installed not in sys.path:
                import site
                site.addsitedir(installed)

    return function_path


if __name__ == "__main__":
    function_path = own_path()
    if "LAMBDA_WORKER_SLOTS" in os.environ:
        from knative_lambda_worker.main import main
        main(function_path)
    else:  # version 1 of the worker protocol
        from lambda_worker import main
        main(function_path)
