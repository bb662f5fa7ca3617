"""The machine's cores, shared by all that decodes and infers in this process."""

import asyncio
import os

# One piece of work a core: a second thread for one gains nothing (measured), and more of them than cores
# make every one of them late.
cores = asyncio.Semaphore(os.cpu_count() or 1)
