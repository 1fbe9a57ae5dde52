"""Runs the emulator of `taskctl local`, on a listening socket that it gets as file descriptor 0.

Beside what the emulator does by itself:
- its state is written to disk soon after a change, not only at the end, so that a crash loses seconds at most;
- it ends (and saves) when the process that started it is gone;
- it says how its queues are, for CloudWatch;
- it waits for a predecessor that is still saving the same state.
"""

import asyncio
import copy
import fcntl
import json
import os
import re
import signal
import time

QUIET = re.compile(r"^(Describe|Get|List|Head|Query|Scan|BatchGet|Filter|Lookup|Search|Test|StartQuery|StopQuery|Receive)")
CREDENTIAL = re.compile(rb"Credential=[^/,\s]*/[^/]*/[^/]*/([a-z0-9-]+)/aws4_request")
STATE_KEYS = {
    b"dynamodb": "dynamodb",
    b"events": "eventbridge",
    b"iam": "iam",
    b"logs": "cloudwatch_logs",
    b"monitoring": "cloudwatch",
    b"s3": "s3",
    b"sns": "sns",
    b"sqs": "sqs",
    b"sts": None,
}
# Seconds after a change before it is saved, and how many times its own duration a save is spaced from the next.
SAVE_AFTER = 0.25
SPACING = 30
# A save that took longer than this holds up requests: the next one is left to a copy of the process. Seconds.
NOTICEABLE = 0.02
# A copy that takes longer than this hangs. Seconds.
PATIENCE = 60


class Saver:
    """Knows which services changed since they were saved."""

    def __init__(self, emulator, persistence):
        self.emulator = emulator
        self.persistence = persistence
        self.changed = {}
        self.not_before = {}
        self.took = {}
        self.copies = {}

    def note(self, scope):
        """Marks the service of a request that may have changed something."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return
        headers = dict(scope["headers"])
        operation = headers.get(b"x-amz-target", b"").rpartition(b".")[2].decode("latin-1")
        if not operation and "/operation/" in scope["path"]:
            operation = scope["path"].rpartition("/")[2]
        if operation and QUIET.match(operation):
            return
        found = CREDENTIAL.search(headers.get(b"authorization", b""))
        key = STATE_KEYS.get(found.group(1), "*") if found else "s3"
        if key is not None:
            self.changed.setdefault(key, time.monotonic())

    def save(self, key, get_state):
        """Writes the state of one service."""
        started = time.monotonic()
        state = get_state()
        if state is not None:
            self.persistence.save_state(key, state)
        self.done(key, started)

    def done(self, key, started):
        """Notes how long a save took."""
        now = time.monotonic()
        self.took[key] = now - started
        self.not_before[key] = now + SPACING * (now - started)

    def save_aside(self, key, get_state):
        """Has the state of one service written by a copy of this process, which goes on serving."""
        copy = os.fork()
        if copy == 0:
            try:
                # A connection that the emulator ends must not live on here: whoever uses it would wait for nothing.
                os.closerange(0, 65536)
                state = get_state()
                if state is not None:
                    self.persistence.save_state(key, state)
            finally:
                os._exit(0)
        self.copies[key] = (copy, time.monotonic())

    def reap(self, patience):
        """Takes note of copies that have ended; ends those that take longer than `patience`."""
        for key, (copy, started) in list(self.copies.items()):
            if os.waitpid(copy, os.WNOHANG)[0] == 0:
                if time.monotonic() - started <= patience:
                    continue
                os.kill(copy, signal.SIGKILL)
                os.waitpid(copy, 0)
                self.changed.setdefault(key, 0.0)
            del self.copies[key]
            self.done(key, started)

    async def run(self):
        """Saves what changed, for ever."""
        while True:
            await asyncio.sleep(SAVE_AFTER / 2)
            self.reap(PATIENCE)
            if not self.changed:
                continue
            now = time.monotonic()
            everything = self.emulator._build_persistence_save_dict()
            if self.changed.get("*", now) < now - SAVE_AFTER:
                del self.changed["*"]
                for key in everything:
                    self.changed.setdefault(key, 0.0)
            for key, since in list(self.changed.items()):
                if key == "*" or key in self.copies or since > now - SAVE_AFTER or self.not_before.get(key, 0.0) > now:
                    continue
                del self.changed[key]
                if key in everything:
                    is_large = self.took.get(key, 0.0) > NOTICEABLE
                    (self.save_aside if is_large else self.save)(key, everything[key])
                    await asyncio.sleep(0)


async def end_with(parent):
    """Returns when the process is no longer the child of `parent`."""
    while os.getppid() == parent:
        await asyncio.sleep(0.5)


async def serve(parent):
    """Serves until a signal comes or the parent is gone."""
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config
    from ministack import app as emulator
    from ministack.core import iam_evaluator, persistence
    from ministack.services import cloudwatch, dynamodb, sqs

    look_up_metrics(cloudwatch)
    parse_once(dynamodb)
    simulate_with_paths(iam_evaluator)
    saver = Saver(emulator, persistence)
    keep_streams(dynamodb)
    figures = QueueFigures(sqs, saver)

    async def application(scope, receive, send):
        if scope["type"] == "http":
            if scope["path"] == FIGURES:
                await answer(send, figures.take())
                return
            saver.note(scope)
        await emulator.app(scope, receive, send)

    config = Config()
    config.bind = ["fd://0"]
    # A connection that its client has closed may go unnoticed until then; clients keep idle ones for half as long.
    config.keep_alive_timeout = 60
    config.keep_alive_max_requests = 10**9
    config.graceful_timeout = 1
    config.loglevel = "WARNING"

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def shutdown():
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(end_with(parent))]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        # What is saved at the end is newer than what a copy is writing.
        saving.cancel()
        saver.reap(0)

    saving = asyncio.create_task(saver.run())
    try:
        await hypercorn_serve(application, config, shutdown_trigger=shutdown)
    finally:
        saving.cancel()


# Where the local target asks for the figures of queues. The endpoint lets nobody else come here.
FIGURES = "/_taskctl/queues"


async def answer(send, value):
    """Answers a request with JSON."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


class QueueFigures:
    """What CloudWatch shows of queues: what was sent, received and deleted since it was asked for last, and what is there."""

    def __init__(self, sqs, saver):
        self.sqs = sqs
        self.saver = saver
        self.counts = {}
        handlers = sqs._HANDLERS
        for operation, figure in (("SendMessage", "sent"), ("ReceiveMessage", "received"), ("DeleteMessage", "deleted")):
            handlers[operation] = self.counted(handlers[operation], figure)
        for operation, figure in (("SendMessageBatch", "sent"), ("DeleteMessageBatch", "deleted")):
            handlers[operation] = self.counted(handlers[operation], figure)

    def counted(self, handle, figure):
        """A handler whose results are counted. A call of one message counts one."""

        async def handled(data, url):
            result = handle(data, url)
            if asyncio.iscoroutine(result):
                result = await result
            arn = self.sqs._get_q(data.get("QueueUrl", url))["attributes"]["QueueArn"]
            counts = self.counts.setdefault(arn, {})
            if figure == "received":
                count = len(result.get("Messages", []))
                if count == 0:
                    counts["empty"] = counts.get("empty", 0) + 1
                else:
                    # One that finds nothing changes nothing: pollers wait for messages all the time.
                    self.saver.changed.setdefault("sqs", time.monotonic())
            else:
                count = len(result["Successful"]) if "Successful" in result else 1
            counts[figure] = counts.get(figure, 0) + count
            return result

        return handled

    def take(self):
        """The figures of all queues."""
        now, counts, self.counts = time.time(), self.counts, {}
        return [self.of(queue, now, counts) for _, queue in self.sqs._queues.all_items()]

    def of(self, queue, now, counts):
        """The figures of a queue."""
        self.sqs._refresh_counts(queue)
        attributes = queue["attributes"]
        region, account, name = attributes["QueueArn"].split(":")[3:6]
        oldest = now
        for message in queue["messages"]:
            since = message.get("sent_at", now)
            if "DeadLetterQueueSourceArn" in message.get("sys", {}):
                # The age of a dead letter is that of its death.
                since = message.setdefault("dead_since", now)
            oldest = min(oldest, since)
        return {
            "account": account,
            "region": region,
            "name": name,
            "visible": int(attributes["ApproximateNumberOfMessages"]),
            "in_flight": int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            "delayed": int(attributes["ApproximateNumberOfMessagesDelayed"]),
            "age": now - oldest,
            "sent": 0,
            "received": 0,
            "deleted": 0,
            "empty": 0,
            **counts.get(attributes["QueueArn"], {}),
        }


# A key condition that names a partition and nothing else.
PARTITION = re.compile(r"[#\w.-]+\s*=\s*:\w+")


def parse_once(dynamodb):
    """A query of a whole partition judges its key condition once, not once for each item: the emulator has picked the
    items by their partition already, and parsing the condition again is most of what a query costs."""
    evaluate = dynamodb._evaluate_condition
    last = None

    def evaluated(expr, item, attr_values, attr_names, slot="ConditionExpression"):
        nonlocal last
        if slot != "KeyConditionExpression" or not PARTITION.fullmatch(expr.strip()):
            return evaluate(expr, item, attr_values, attr_names, slot=slot)
        if last is attr_values:
            return True
        last = attr_values
        return evaluate(expr, item, attr_values, attr_names, slot=slot)

    dynamodb._evaluate_condition = evaluated


# Seconds between two looks for metrics that are too old.
EVICTION = 600


def look_up_metrics(cloudwatch):
    """Each call looks through all points of all metrics for old ones, and each query of a call through all metrics for its
    own: after some hours of work that is all that the emulator does. Old points are looked for now and then, and a call sees
    no metrics but those that it names."""
    evict, get_metric_data = cloudwatch._evict_old_metrics, cloudwatch._get_metric_data
    evicted = time.monotonic()

    def evict_sometimes():
        nonlocal evicted
        if time.monotonic() - evicted > EVICTION:
            evicted = time.monotonic()
            evict()

    def get_named(params, input_data, is_cbor, is_json=False):
        everything, named = cloudwatch._metrics, {}
        for query in (input_data or {}).get("MetricDataQueries", []):
            metric = query.get("MetricStat", {}).get("Metric", {})
            dimensions = cloudwatch._dims_from_list(metric.get("Dimensions") or [])
            if not dimensions:
                return get_metric_data(params, input_data, is_cbor, is_json)
            key = (metric.get("Namespace", ""), metric.get("MetricName", ""), cloudwatch._dims_key(dimensions))
            points = everything.get(key)
            if points is not None:
                named[key] = points
        cloudwatch._metrics = named
        try:
            return get_metric_data(params, input_data, is_cbor, is_json)
        finally:
            cloudwatch._metrics = everything

    cloudwatch._evict_old_metrics = evict_sometimes
    cloudwatch._get_metric_data = get_named


def keep_streams(dynamodb):
    """Records of streams are kept over a restart as their tables are: functions may not have seen them yet."""
    get_state, load = dynamodb.get_state, dynamodb.load_persisted_state

    def with_records():
        records = {"stream_records": dynamodb._stream_records, "stream_trimmed": dynamodb._stream_trimmed}
        return {**get_state(), **copy.deepcopy(records)}

    def loaded(data):
        load(data)
        dynamodb._stream_records.update(data.get("stream_records", {}))
        dynamodb._stream_trimmed.update(data.get("stream_trimmed", {}))

    dynamodb.get_state, dynamodb.load_persisted_state = with_records, loaded


def simulate_with_paths(iam_evaluator):
    """A simulated role is looked for by its path and name; roles are kept by their names alone."""
    gather = iam_evaluator._gather_role_policies
    iam_evaluator._gather_role_policies = lambda name, account: gather(name.rpartition("/")[2], account)


def main():
    parent = os.getppid()
    os.makedirs(os.environ["STATE_DIR"], exist_ok=True)
    with open(os.path.join(os.environ["STATE_DIR"], "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        asyncio.run(serve(parent))


if __name__ == "__main__":
    main()
