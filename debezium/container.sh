#!/bin/bash
# What a container of this folder's image runs: `broker`, `connect`, or a check of one of them. Addresses and folders that differ from
# those in the .properties are lines at their end: a later line wins.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
data=${CDC_DATA:-/data}

run() {
  exec java "-Xmx${HEAP_MB:-256}m" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError \
    -Dlog4j2.configurationFile=log4j2.yaml -cp 'lib/*' "$@"
}

# Answers what a GET of the path says, over a socket of bash: the image has no HTTP client.
get() {
  exec 3<>"/dev/tcp/127.0.0.1/$1"
  printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
  cat <&3
}

case ${1:-} in
broker)
  : "${BROKER_HOST:?the name by which others reach this broker}"
  file=$data/server.properties
  {
    cat server.properties
    # HOST is for programs on the machine that runs the container; its port is published on loopback.
    echo "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT"
    echo "listeners=PLAINTEXT://0.0.0.0:${BROKER_PORT:-9092},HOST://0.0.0.0:${BROKER_HOST_PORT:-29092},CONTROLLER://127.0.0.1:${CONTROLLER_PORT:-9093}"
    echo "advertised.listeners=PLAINTEXT://${BROKER_HOST}:${BROKER_PORT:-9092},HOST://127.0.0.1:${BROKER_HOST_PORT:-29092}"
    echo "controller.quorum.voters=1@127.0.0.1:${CONTROLLER_PORT:-9093}"
    echo "log.dirs=$data/kafka"
  } >"$file"
  if [ ! -e "$data/kafka/meta.properties" ]; then
    java -Xmx128m -Dlog4j2.configurationFile=log4j2.yaml -cp 'lib/*' kafka.tools.StorageTool format \
      -t "$(java -Xmx64m -cp 'lib/*' kafka.tools.StorageTool random-uuid | tail -n 1)" -c "$file"
  fi
  run kafka.Kafka "$file"
  ;;
connect)
  : "${KAFKA_BROKERS:?host:port of the broker}"
  mkdir -p "$data/connect"
  file=$data/worker.properties
  {
    cat worker.properties
    echo "bootstrap.servers=$KAFKA_BROKERS"
    echo "listeners=http://0.0.0.0:${CONNECT_PORT:-8083}"
    echo "plugin.path=$PWD/plugins"
    echo "offset.storage.file.filename=$data/connect/offsets"
  } >"$file"
  run org.apache.kafka.connect.cli.ConnectStandalone "$file" connector.json
  ;;
broker-is-up)
  exec 3<>"/dev/tcp/127.0.0.1/${BROKER_PORT:-9092}"
  ;;
connector-is-running)
  # The task, not only the connector: one that cannot stream says RUNNING of itself.
  get "${CONNECT_PORT:-8083}" /connectors/outbox/status | grep -q '"tasks":\[{[^]]*"state":"RUNNING"'
  ;;
*)
  echo "container.sh: broker, connect, broker-is-up or connector-is-running" >&2
  exit 2
  ;;
esac
