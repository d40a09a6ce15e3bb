#!/usr/bin/env python3
"""A consumer of a ledger's events from Kafka that can prove that it missed nothing, and heals itself where it did. It writes
each event as a line to a file; put your own effect in `apply`.

    pip install kafka-python==2.3.3 pg8000==1.31.6
    KAFKA_BROKERS=127.0.0.1:9092 DATABASE_URL=postgres://reader:...@.../tallystick LEDGER=main OUT=events.jsonl \
        python3 consume_outbox.py

The rule: positions are 1, 2, 3 ... without gaps. What is at or below where we stand was applied before: drop it. What is
directly above is next: apply it. What is further above tells that something is missing: read that from the outbox first.
"""

import json
import os
import signal
import sys
import time
from urllib.parse import unquote, urlparse

import pg8000.native
from kafka import KafkaConsumer

BROKERS = os.environ["KAFKA_BROKERS"].split(",")
TOPIC = os.environ.get("KAFKA_TOPIC", "tallystick.outbox")
DATABASE = urlparse(os.environ["DATABASE_URL"])
LEDGER = os.environ.get("LEDGER", "main")
GROUP = os.environ.get("KAFKA_GROUP", f"consume-outbox-py-{LEDGER}")
OUT = os.environ.get("OUT", "events.jsonl")
PAGE = 1000
# The outbox has more and Kafka sent nothing for so long: read it there.
SILENT_S = int(os.environ.get("SILENT_MS", "2000")) / 1000

PAGE_SQL = f"""SELECT position, id::text, stream, revision::text, type, schema_version, data::text, metadata::text
    FROM outbox WHERE ledger = :ledger AND position > :after AND position <= :last ORDER BY position LIMIT {PAGE}"""
HEAD_SQL = "SELECT position FROM ledger_head WHERE ledger = :ledger"
END = 2**63 - 1


class Log:
    """What was applied. The effect and the position are one write: whenever this process dies, both are there or neither."""

    def __init__(self, path):
        self.file = open(path, "a+b")
        self.file.seek(0)
        text = self.file.read()
        whole = text[: text.rfind(b"\n") + 1]
        # A line that was being written when the process died was not applied.
        self.file.truncate(len(whole))
        lines = whole.splitlines()
        self.position = int(json.loads(lines[-1])["position"]) if lines else 0
        self.counts = {"applied": 0, "healed": 0, "gaps": 0, "duplicates": 0}

    def apply(self, position, event):
        if position != self.position + 1:
            raise RuntimeError(f"{position} does not follow {self.position}")
        line = json.dumps({**event, "position": str(position)}, ensure_ascii=False)
        self.file.write(line.encode() + b"\n")
        self.file.flush()
        self.position = position
        self.counts["applied"] += 1


def query(sql, **values):
    """One connection per question: simple, and it survives a database that is started again."""
    connection = pg8000.native.Connection(
        user=unquote(DATABASE.username),
        password=unquote(DATABASE.password or ""),
        host=DATABASE.hostname,
        port=DATABASE.port or 5432,
        database=DATABASE.path[1:],
    )
    try:
        return connection.run(sql, **values)
    finally:
        connection.close()


def heal(log, last=END):
    """Reads from the outbox what is missing up to `last` (to the end of the ledger where it is not given)."""
    while True:
        rows = query(PAGE_SQL, ledger=LEDGER, after=log.position, last=last)
        for position, event_id, stream, revision, event_type, version, data, metadata in rows:
            event = {
                "id": event_id,
                "stream": stream,
                "revision": revision,
                "type": event_type,
                "schemaVersion": version,
                "data": json.loads(data),
                "metadata": json.loads(metadata),
            }
            log.apply(position, event)
        log.counts["healed"] += len(rows)
        if (len(rows) < PAGE) if last == END else (log.position >= last):
            return
        # Kafka can be a moment ahead of what a SELECT sees.
        if not rows:
            time.sleep(0.05)


def on_message(log, record):
    headers = {name: None if value is None else value.decode() for name, value in record.headers}
    position = int(headers["position"])
    if position <= log.position:
        log.counts["duplicates"] += 1
        return
    if position > log.position + 1:
        log.counts["gaps"] += 1
        print(f"gap: {log.position + 1} is missing, {position} came", file=sys.stderr, flush=True)
        heal(log, position - 1)
    event = {
        "id": headers["id"],
        "stream": headers["stream"],
        "revision": headers["revision"],
        "type": headers["type"],
        "schemaVersion": int(headers["schemaVersion"]),
        "data": json.loads(record.value),
        "metadata": json.loads(headers["metadata"]),
    }
    log.apply(position, event)


def main():
    log = Log(OUT)
    heal(log)
    print(f"ledger {LEDGER}: caught up at {log.position}", file=sys.stderr, flush=True)
    consumer = KafkaConsumer(
        TOPIC,
        bootstrap_servers=BROKERS,
        group_id=GROUP,
        # A hint for the next start, and what lag is measured by: where we stand is in the log.
        enable_auto_commit=True,
        auto_offset_reset="latest",
    )
    running = True

    def stop(*_):
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    came = time.monotonic()
    while running:
        records = [record for batch in consumer.poll(timeout_ms=500).values() for record in batch]
        before = log.position
        for record in records:
            if record.key is not None and record.key.decode() == LEDGER:
                on_message(log, record)
        if log.position > before:
            came = time.monotonic()
        elif time.monotonic() - came > SILENT_S:
            rows = query(HEAD_SQL, ledger=LEDGER)
            if rows and rows[0][0] > log.position:
                heal(log)
            came = time.monotonic()
    consumer.close()
    print(json.dumps(log.counts), file=sys.stderr, flush=True)


main()
