"""Runs the emulator of `taskctl local`, on a listening socket that it gets as file descriptor 0.

Beside what the emulator does by itself:
- its state is written to disk soon after a change, not only at the end, so that a crash loses seconds at most;
- it ends (and saves) when the process that started it is gone;
- it says how its queues are, for CloudWatch, and what it has for functions;
- it waits for a predecessor that is still saving the same state.
"""

import asyncio
import base64
import collections
import contextvars
import copy
import fcntl
import hashlib
import json
import os
import re
import signal
import threading
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
    from ministack.services import cloudwatch, dynamodb, eventbridge, s3, sns, sqs, ssm

    look_up_metrics(cloudwatch)
    parse_once(dynamodb)
    simulate_with_paths(iam_evaluator)
    saver = Saver(emulator, persistence)
    keep_streams(dynamodb)
    keep_to_policies(sqs, sns, iam_evaluator)
    keep_parameters(ssm)
    outbox = Outbox(sns, s3, eventbridge)
    figures = QueueFigures(sqs, saver)

    async def application(scope, receive, send):
        if scope["type"] == "http":
            if scope["path"] == FIGURES:
                await answer(send, figures.take())
                return
            if scope["path"] == INVOCATIONS:
                after = scope["query_string"].rpartition(b"=")[2]
                await answer(send, await outbox.take(int(after or 0)))
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


# Where the local target asks for the figures of queues, and for what there is for functions. The endpoint lets nobody else come
# here.
FIGURES = "/_taskctl/queues"
INVOCATIONS = "/_taskctl/invocations"
# How long a request for invocations waits for one. Seconds.
WAIT = 1


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


class Outbox:
    """Events that topics, buckets and rules have for functions, which the local target runs."""

    def __init__(self, sns, s3, eventbridge):
        self.pending = collections.deque()
        self.number = 0
        self.lock = threading.Lock()
        rule_arn = contextvars.ContextVar("rule_arn", default=None)
        invoke_target = eventbridge._invoke_target

        def of_topic(endpoint, envelope, topic_arn, sub_arn, *_):
            # https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
            given = {"Subject": None, "MessageAttributes": {}, **json.loads(envelope)}
            names = {"SigningCertURL": "SigningCertUrl", "UnsubscribeURL": "UnsubscribeUrl"}
            record = {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": sub_arn,
                "Sns": {names.get(name, name): value for name, value in given.items()},
            }
            self.put(endpoint, "sns.amazonaws.com", topic_arn, {"Records": [record]})

        def of_bucket(arn, payload, _):
            self.put(arn, "s3.amazonaws.com", payload["Records"][0]["s3"]["bucket"]["arn"], payload)

        def of_rule(target, event, rule, view=None):
            # The local target fires what is on a schedule.
            on_schedule = event.get("DetailType") == "Scheduled Event"
            token = rule_arn.set(None if on_schedule else rule.get("Arn"))
            try:
                invoke_target(target, event, rule, view)
            finally:
                rule_arn.reset(token)

        def to_function(arn, payload):
            if rule_arn.get():
                self.put(arn, "events.amazonaws.com", rule_arn.get(), json.loads(payload))

        sns._deliver_to_lambda = of_topic
        s3._deliver_event_to_lambda = of_bucket
        eventbridge._invoke_target = of_rule
        eventbridge._dispatch_to_lambda = to_function

    def put(self, function, principal, source, event):
        """Keeps an event until it was asked for what comes after it."""
        with self.lock:
            self.number += 1
            one = {"number": self.number, "function": function, "principal": principal, "source": source, "event": event}
            self.pending.append(one)

    async def take(self, after):
        """What there is after a number, or nothing after a while."""
        until = time.monotonic() + WAIT
        while True:
            with self.lock:
                while self.pending and self.pending[0]["number"] <= after:
                    self.pending.popleft()
                if self.pending or time.monotonic() > until:
                    return list(self.pending)
            await asyncio.sleep(0.02)


def keep_to_policies(sqs, sns, iam_evaluator):
    """A queue takes from services what its policy lets them send, and a topic does: as on AWS, and whoever is authenticated
    elsewhere."""

    def allows(action, arn, policy, service, source_arn, source_account):
        context = iam_evaluator.EvalContext(
            principal_arn="*",
            principal_type="Service",
            principal_account="",
            action=action,
            resource_arn=arn,
            region=arn.split(":")[3],
            service_context={
                "aws:sourcearn": source_arn,
                "aws:sourceaccount": source_account,
                "aws:sourceowner": source_account,
            },
        )
        return iam_evaluator.evaluate_resource_policy(policy, context, service=service).decision == "Allow"

    def queue_allows(arn, service, source_arn, source_account):
        queue = sqs._queue_by_arn(arn)
        policy = queue and queue["attributes"].get("Policy")
        return bool(policy) and allows("sqs:SendMessage", arn, policy, service, source_arn, source_account)

    def topic_allows(arn, service, source_arn, source_account):
        topic = sns._topic_by_arn_any_scope(arn)
        policy = topic and topic.get("attributes", {}).get("Policy")
        return bool(policy) and allows("sns:Publish", arn, policy, service, source_arn, source_account)

    sqs.queue_policy_allows, sns.topic_policy_allows = queue_allows, topic_allows


# Versions that a parameter keeps, and the longest value of a standard one.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html
MOST_VERSIONS = 100
LONGEST_VALUE = 4096
# Labels of a version: https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-labels.html
MOST_LABELS = 10


def keep_parameters(ssm):
    """Parameters keep a hundred versions, of which the oldest goes unless it has a label; labels can be taken off; tags are
    looked for; what is encrypted cannot be read from what is shown."""
    put, label, handle, has = ssm._put_parameter, ssm._label_parameter_version, ssm.handle_request, ssm._apply_filter
    refuse, answered = ssm.error_response_json, ssm.json_response

    def put_bounded(data):
        name, value = data.get("Name"), data.get("Value", "")
        versions = ssm._parameter_history.get(name) or []
        if len(value.encode()) > LONGEST_VALUE and data.get("Tier", "Standard") == "Standard":
            message = (
                f"Standard tier parameters support a maximum parameter value of {LONGEST_VALUE} characters. To create a larger "
                "parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see "
                "https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
            )
            return refuse("ValidationException", message, 400)
        is_full = len(versions) >= MOST_VERSIONS and data.get("Overwrite")
        if is_full and versions[0].get("Labels"):
            message = (
                f"You attempted to create a new version of {name} by calling the PutParameter API with the overwrite flag. Version "
                f"{versions[0]['Version']}, the oldest version, can't be deleted because it has a label associated with it. Move the "
                "label to another version of the parameter, and try again."
            )
            return refuse("ParameterMaxVersionLimitExceeded", message, 400)
        result = put(data)
        if result[0] == 200:
            versions = ssm._parameter_history[name]
            del versions[:-MOST_VERSIONS]
            if versions[-1]["Type"] == "SecureString":
                hidden = base64.b64encode(hashlib.sha256(os.urandom(32)).digest()).decode()
                versions[-1]["Value"] = ssm._parameters[name]["Value"] = hidden
        return result

    def label_bounded(data):
        versions = ssm._parameter_history.get(data.get("Name")) or []
        wanted = data.get("ParameterVersion") or (versions[-1]["Version"] if versions else None)
        known = next((one.get("Labels", []) for one in versions if one["Version"] == wanted), [])
        if len({*known, *data.get("Labels", [])}) > MOST_LABELS:
            message = f"A parameter version can have a maximum of {MOST_LABELS} labels."
            return refuse("ParameterVersionLabelLimitExceeded", message, 400)
        return label(data)

    def unlabel(data):
        name, number, labels = data.get("Name"), data.get("ParameterVersion"), data.get("Labels", [])
        versions = ssm._parameter_history.get(name)
        if not versions:
            return refuse("ParameterNotFound", "", 400)
        version = next((one for one in versions if one["Version"] == number), None)
        if version is None:
            return refuse("ParameterVersionNotFound", f"Systems Manager could not find version {number} of {name}.", 400)
        known = version.get("Labels", [])
        version["Labels"] = [one for one in known if one not in labels]
        if ssm._parameters[name]["Version"] == number:
            ssm._parameters[name]["Labels"] = version["Labels"]
        removed = [one for one in labels if one in known]
        return answered({"RemovedLabels": removed, "InvalidLabels": [one for one in labels if one not in known]})

    def has_tag(parameter, key, option, values):
        if key.startswith("tag:"):
            value = ssm._tags.get(parameter["ARN"], {}).get(key[len("tag:"):])
            return value is not None and (not values or value in values)
        if key == "Path" and option != "Recursive":
            parents = [one.rstrip("/") for one in values]
            return parameter["Name"].rpartition("/")[0] in parents
        return has(parameter, key, option, values)

    async def handled(method, path, headers, body, query_params):
        if headers.get("x-amz-target", "").endswith(".UnlabelParameterVersion"):
            return unlabel(json.loads(body or b"{}"))
        return await handle(method, path, headers, body, query_params)

    ssm._put_parameter, ssm._label_parameter_version, ssm._apply_filter = put_bounded, label_bounded, has_tag
    ssm.handle_request = handled


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
    # Values of parameters are among what is kept.
    os.umask(0o077)
    os.makedirs(os.environ["STATE_DIR"], exist_ok=True)
    with open(os.path.join(os.environ["STATE_DIR"], "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        asyncio.run(serve(parent))


if __name__ == "__main__":
    main()
