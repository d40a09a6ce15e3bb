// A small client of graphql-transport-ws (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md): connects
// again when the connection is lost, and subscribes again to what was subscribed to.

const FORBIDDEN = 4403;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;

/**
 * @param {{ authorization?: () => string | undefined, onState?: (state: 'connecting' | 'live' | 'forbidden') => void }} options
 */
export function createLiveClient({ authorization = () => undefined, onState = () => {} } = {}) {
  const operations = new Map();
  let socket;
  let ready = false;
  let retryMs = FIRST_RETRY_MS;
  let retry;
  let nextId = 1;

  function connect() {
    clearTimeout(retry);
    onState('connecting');
    // Relative to the page, which may be served below a path. Not every browser takes http(s) here.
    const url = new URL('graphql', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const mine = new WebSocket(url, 'graphql-transport-ws');
    socket = mine;
    mine.onopen = () =>
      send({ type: 'connection_init', payload: authorization() ? { authorization: authorization() } : {} });
    mine.onmessage = ({ data }) => receive(JSON.parse(data));
    mine.onclose = ({ code }) => {
      if (socket !== mine) return;
      ready = false;
      socket = undefined;
      if (code === FORBIDDEN) return onState('forbidden');
      onState('connecting');
      if (operations.size === 0) return;
      retry = setTimeout(connect, retryMs);
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    };
  }

  function send(message) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  function receive({ type, id, payload }) {
    if (type === 'connection_ack') {
      ready = true;
      retryMs = FIRST_RETRY_MS;
      onState('live');
      for (const [operationId, operation] of operations)
        send({ type: 'subscribe', id: operationId, payload: operation.request });
    } else if (type === 'ping') {
      send({ type: 'pong' });
    } else if (type === 'next') {
      operations.get(id)?.onNext(payload);
    } else if (type === 'error' || type === 'complete') {
      const operation = operations.get(id);
      operations.delete(id);
      operation?.onEnd?.(type === 'error' ? payload : undefined);
    }
  }

  return {
    /** Asks, or subscribes: `onNext` gets each result, `onEnd` the errors of a request that was refused. Returns the way to stop. */
    start(request, onNext, onEnd) {
      const id = String(nextId++);
      operations.set(id, { request, onNext, onEnd });
      if (ready) send({ type: 'subscribe', id, payload: request });
      else if (!socket) connect();
      return () => {
        if (operations.delete(id)) send({ type: 'complete', id });
      };
    },
    /** Connects again, with another key perhaps. */
    reconnect() {
      const old = socket;
      socket = undefined;
      ready = false;
      old?.close();
      connect();
    },
  };
}
