"""The Python worker; see lambda_worker. This file is short because Python
compiles it anew at each start, unlike the modules that it imports."""

from lambda_worker import main

if __name__ == "__main__":
    main()
