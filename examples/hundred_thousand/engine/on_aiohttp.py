"""Engines asyncio and uvloop: a hundred thousand requests by aiohttp.

The program of an article on asyncio, as its text says it works. What is put right: as many tasks as the window holds, and
not one for each request; no barrier behind each thousand, unless it is asked for; connections in a number that is told, and
that is the connector's limit, too; latency of each request, and not the run's time by their number; statuses looked at;
failures by kind; one session for all.

    python3 on_aiohttp.py PLAN     the plan as JSON; one JSON value a line comes back, as from the other engines

Not here: what is asked for, and who compares it; that is the program that starts this.
"""

import array
import asyncio
import ctypes
import json
import os
import resource
import signal
import socket
import sys
import time

import aiohttp

FAILURES = (
    "resolve connect tls timeout_resolve timeout_connect timeout_read timeout_total reset truncated protocol too_large "
    "redirect status cancelled other"
).split()
LATE_NS = 2_000_000  # as in the other engines
KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG
MASK = 2**64 - 1
now_ns = time.monotonic_ns


def say(word, value):
    print(json.dumps({word: value}), flush=True)


class Run:
    """The counter that the tasks share, and what they have recorded."""

    def __init__(self, plan):
        self.plan, settings = plan, plan["settings"]
        self.requests, self.concurrency = settings["requests"], settings["concurrency"]
        self.per_host, self.batch = settings["per_host"], settings["batch"]
        self.rate, self.faults = settings.get("rate"), settings.get("faults")
        self.url, _, _ = plan["url"].rpartition("/") if self.faults else (plan["url"], "", "")
        self.slots = asyncio.Semaphore(self.per_host)
        self.taken = self.entered = self.left = self.batch_end = self.ok = 0
        self.waiting = self.in_use = self.in_use_max = self.opened = self.answered = self.bytes_in = 0
        self.failed, self.first_failures, self.endings = dict.fromkeys(FAILURES, 0), {}, {}
        self.latency_ns, self.exchange_ns, self.connected_total_ns = array.array("Q"), array.array("Q"), 0
        self.held_ns = dict.fromkeys(["concurrency", "per_host", "batch_barrier"] + ["rate"] * bool(self.rate), 0)
        self.late, self.late_ns, self.last_began_ns = {"window_full": 0, "loop": 0}, array.array("Q"), 0
        self.held_by, self.idle, self.barrier_idle_ns = None, 0, 0
        self.started_ns = self.since_ns = now_ns()

    def socket(self, address):
        """For the connector: a socket, counted."""
        self.opened += 1
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def open_batch(self):
        rest = self.requests - self.taken
        size = min(self.batch or rest, rest)
        self.batch_end = self.taken + size
        return min(size, self.concurrency)

    def look(self, at_ns):
        """Puts the time since the last look down to what held the work back then."""
        span_ns = max(at_ns - self.since_ns, 0)
        self.since_ns = max(self.since_ns, at_ns)
        if self.held_by:
            self.held_ns[self.held_by] += span_ns
            if self.held_by == "batch_barrier":
                self.barrier_idle_ns += span_ns * self.idle
        unsent, in_window = self.batch_end - self.entered, self.entered - self.left
        if self.waiting:
            self.held_by = "per_host"
        elif self.batch and not unsent:
            self.held_by = "batch_barrier"
        elif in_window >= self.concurrency:
            self.held_by = "concurrency"
        else:
            self.held_by = "rate" if self.rate and unsent else None
        self.idle = max(min(self.per_host, self.concurrency, self.batch or self.requests) - self.in_use, 0)

    async def begin(self, number, free_ns):
        """Has request `number` enter, at its time if it has one; when latency counts from."""
        if not self.rate:
            self.entered += 1
            self.look(free_ns)
            return free_ns
        self.look(free_ns)
        due_ns = self.started_ns + int(number * 1e9 / self.rate)
        if due_ns > free_ns:
            await asyncio.sleep((due_ns - free_ns) / 1e9)
        began_ns = now_ns()
        self.entered += 1
        self.look(began_ns)
        self.last_began_ns = max(self.last_began_ns, began_ns)
        self.late_ns.append(max(began_ns - due_ns, 0))
        if began_ns - due_ns > LATE_NS:
            self.late["window_full" if free_ns > due_ns else "loop"] += 1
        return due_ns

    async def ask_until_none_is_left(self, session):
        free_ns = now_ns()
        while self.taken < self.batch_end:
            number, self.taken = self.taken, self.taken + 1
            entered_ns = await self.begin(number, free_ns)
            free_ns = await self.ask(session, number, entered_ns)
        self.look(free_ns)

    async def ask(self, session, number, entered_ns):
        """Sends one GET and takes the answer in; when it had ended."""
        self.waiting += 1
        try:
            await self.slots.acquire()
        finally:
            self.waiting -= 1
        self.in_use += 1
        self.in_use_max = max(self.in_use_max, self.in_use)
        connected_ns = now_ns()
        kind = how = None
        ending = "200"
        try:
            async with session.get(f"{self.url}/{number}" if self.faults else self.url) as response:
                brought = await response.read()
                self.bytes_in += len(brought)
                self.answered += 1
                if response.status != 200:
                    ending = str(response.status)
                if not 200 <= response.status <= 299:
                    kind, how = "status", f"the server answered {response.status}"
                elif self.faults and response.status == 200 and brought != scripted_body(number):
                    ending = kind = "other"
                    how = f"request {number}: another body than the script's, of {len(brought)} bytes"
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            ending = kind = kind_of(error)
            self.opened -= kind == "connect"  # a socket was made, and no connection
            how = f"{type(error).__name__}: {error}"
        finally:
            self.in_use -= 1
            self.slots.release()
        left_ns = now_ns()
        self.left += 1
        self.connected_total_ns += left_ns - connected_ns
        if kind:
            self.failed[kind] += 1
            self.first_failures.setdefault(kind, how)
        else:
            self.ok += 1
            self.latency_ns.append(left_ns - entered_ns)
            self.exchange_ns.append(left_ns - connected_ns)
        if self.faults and ending != "200":
            self.endings[number] = ending
        if self.left % self.plan["progress_every"] == 0 or self.left == self.requests:
            say("progress", {"done": self.left, "elapsed_s": (left_ns - self.started_ns) / 1e9})
        return left_ns


def mixed(number):
    """As in the script of faults: SplitMix64's mixing."""
    number = (number + 0x9E3779B97F4A7C15) & MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & MASK
    return number ^ (number >> 31)


def scripted_body(number):
    """What a good answer to request `number` brings."""
    return "".join(f"{mixed(mixed(number) ^ word):016x}" for word in range(8)).encode()


def kind_of(error):
    """The name that failures of this kind have in the report."""
    causes = []
    while error:
        causes.append(error)
        error = error.__cause__ or getattr(error, "os_error", None)
    is_a, words = (lambda kind: any(isinstance(cause, kind) for cause in causes)), str(causes[0])
    if is_a(aiohttp.TooManyRedirects):
        return "redirect"
    if is_a(asyncio.TimeoutError):
        return "timeout_total"
    if is_a(socket.gaierror):
        return "resolve"
    if is_a(aiohttp.ClientConnectorError):
        return "connect"
    if is_a((ConnectionResetError, BrokenPipeError)) or "ConnectionResetError" in words:
        return "reset"
    if is_a(aiohttp.http_exceptions.LineTooLong) or "Got more than" in words:
        return "too_large"
    if is_a(aiohttp.http_exceptions.TransferEncodingError) and "Not enough data" not in words:
        return "protocol"
    if is_a((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        return "truncated"
    return "protocol" if is_a(aiohttp.ClientResponseError) else "other"


async def drive(plan):
    """Sends every request of the plan, or as many as it can until Ctrl-C."""
    settings, timeout = plan["settings"], plan["timeout"]
    run = Run(plan)
    connector = {"force_close": True} if settings.get("max_requests") == 1 else {}
    try:  # only a new aiohttp lets sockets be counted
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=run.per_host, socket_factory=run.socket, **connector)
        counts_sockets = True
    except TypeError:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=run.per_host, **connector)
        counts_sockets = False
    total = aiohttp.ClientTimeout(total=timeout["secs"] + timeout["nanos"] / 1e9)
    headers = {"User-Agent": "windlass", "Accept": "*/*"}
    interrupted = False
    before = resource.getrusage(resource.RUSAGE_SELF), server_cpu_s(plan)
    run.started_ns = run.since_ns = now_ns()
    async with aiohttp.ClientSession(connector=connector, timeout=total, headers=headers) as session:

        async def work():
            while width := run.open_batch():
                await asyncio.gather(*[run.ask_until_none_is_left(session) for _ in range(width)])

        working = asyncio.ensure_future(work())
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, working.cancel)
        try:
            await working
        except asyncio.CancelledError:
            interrupted = True
        run.look(now_ns())
        ended_ns = now_ns()
        after = resource.getrusage(resource.RUSAGE_SELF), server_cpu_s(plan)
    await asyncio.sleep(0)  # transports close in the next turn
    return run, interrupted, counts_sockets, ended_ns, before, after


def server_cpu_s(plan):
    """The CPU time of the embedded server, by its clock (CPUCLOCK_SCHED of another process)."""
    return time.clock_gettime((~plan["server"] << 3) | 2) if plan["server"] else 0.0


def summary(spans_ns):
    spans = sorted(spans_ns)
    at = lambda share: spans[max(-(-len(spans) * share // 1000) - 1, 0)] // 1000 if spans else 0
    mean = round(sum(spans) / len(spans) / 1000, 1) if spans else 0.0
    return {"mean": mean, "p50": at(500), "p90": at(900), "p99": at(990), "p999": at(999), "max": at(1000)}


def open_descriptors():
    return len(os.listdir("/proc/self/fd")) - 1


def peak_rss_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def tell(plan, driven, descriptors_before):
    run, interrupted, counts_sockets, ended_ns, (usage_before, server_before), (usage, server) = driven
    peak_kb = peak_rss_kb()  # before the summaries, which sort copies of all latencies
    elapsed_s = (ended_ns - run.started_ns) / 1e9
    unfinished = run.entered - run.left
    if unfinished:
        run.failed["cancelled"] += unfinished
        run.first_failures.setdefault("cancelled", "the run was interrupted before the reply was complete")
    user_s, sys_s = usage.ru_utime - usage_before.ru_utime, usage.ru_stime - usage_before.ru_stime
    limits = {name: round(held_ns / 1e9 / elapsed_s, 3) for name, held_ns in run.held_ns.items()}
    limits["loop"] = round((user_s + sys_s) / elapsed_s, 3)
    if plan["server"]:
        limits["server"] = round((server - server_before) / elapsed_s, 3)
    told = {
        "engine": plan["engine"],
        "round": plan["round"],
        "requests": run.entered,
        "ok": run.ok,
        "failed": run.failed,
        "elapsed_s": elapsed_s,
        "requests_per_s": float(round((run.entered - unfinished) / elapsed_s)),
        "latency_us": summary(run.latency_ns),
        "exchange_us": summary(run.exchange_ns),
        # How long those under way had had their connections when the run was interrupted, nobody has added up.
        "in_flight": {
            "max": min(run.in_use_max, run.opened) if counts_sockets else run.in_use_max,
            "mean": None if unfinished else round(run.connected_total_ns / 1e9 / elapsed_s, 3),
        },
        "connections": {"opened": run.opened, "reused": max(run.answered - run.opened, 0)} if counts_sockets else None,
        "bytes_in": run.bytes_in,
        "bytes_in_of": "bodies",  # aiohttp keeps the heads to itself
        "retries": 0,
        "limits": limits,
        "loop": None,
        "user_s": user_s,
        "sys_s": sys_s,
        "peak_rss_kb": peak_kb,
    }
    if run.rate:
        lasted_s = max(run.last_began_ns - run.started_ns, 0) / 1e9 + 1 / run.rate
        told["pace"] = {"asked_per_s": run.rate, "reached_per_s": round(run.entered / lasted_s, 1)}
        told["pace"] |= {"late": run.late, "late_us": summary(run.late_ns)}
    connections = min(run.per_host, run.concurrency, run.batch or run.requests, run.requests)
    return {
        "run": told,
        "interrupted": interrupted,
        "first_failures": run.first_failures,
        "descriptors_before": descriptors_before,
        "descriptors_after": open_descriptors(),
        "would_block": None,
        "barrier_idle": run.barrier_idle_ns / 1e9 / elapsed_s / connections,
        "endings": run.endings,
    }


def main():
    plan = json.loads(sys.argv[1])
    ctypes.CDLL(None).prctl(KILL_WITH_PARENT, int(signal.SIGKILL), 0, 0, 0)
    if plan["core"] is not None:
        os.sched_setaffinity(0, {plan["core"]})
    new_event_loop = asyncio.new_event_loop
    if plan["engine"] == "uvloop":
        import uvloop

        new_event_loop = uvloop.new_event_loop
        new_event_loop().close()  # with its first loop libuv makes a pipe for signals, and keeps it for the process's life
    descriptors_before = open_descriptors()
    loop = new_event_loop()
    driven = loop.run_until_complete(drive(plan))
    loop.close()
    say("report", tell(plan, driven, descriptors_before))


main()
