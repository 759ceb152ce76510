"""The work of compare_loops for Python's loops: N tasks that sleep a millisecond, gathered.

python3 compare_loops.py asyncio|uvloop N CORE|any        prints one line of JSON, as the other engines do
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
import time

KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG


async def nap(number):
    await asyncio.sleep(0.001)
    return number


async def naps(tasks):
    cpu, began = time.process_time(), time.perf_counter()
    numbers = await asyncio.gather(*[nap(number) for number in range(tasks)])
    elapsed_s = time.perf_counter() - began
    told = {"tasks": len(numbers), "sum": sum(numbers), "elapsed_s": elapsed_s}
    return told | {"cpu_s": time.process_time() - cpu}


ctypes.CDLL(None).prctl(KILL_WITH_PARENT, int(signal.SIGKILL), 0, 0, 0)
engine, tasks, core = sys.argv[1:]
if core != "any":
    os.sched_setaffinity(0, {int(core)})
if engine == "uvloop":
    import uvloop

    loop = uvloop.new_event_loop()
else:
    loop = asyncio.new_event_loop()
print(json.dumps(loop.run_until_complete(naps(int(tasks)))))
loop.close()
