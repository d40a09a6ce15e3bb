// GraphiQL from our own files. Queries go over HTTP, subscriptions over our own WebSocket client; an Authorization header
// from the headers editor goes with both.
import { createLiveClient } from './live.js';

const { React, ReactDOM, GraphiQL } = window;

const FIRST_QUERY = `# Ctrl-Enter runs this.
# Where an API key is needed, under Headers:
# { "Authorization": "Bearer ..." }
{
  ledger {
    position
    tip { height hash }
    customersSats
    walletsSats
    differenceSats
  }
  # As of any moment:
  before: ledger(asOf: { position: "0" }) {
    customersSats
  }
  accounts(first: 10) {
    edges { node { id availableSats pendingSats } }
  }
}
`;

let authorization;
const client = createLiveClient({ authorization: () => authorization });

async function fetcher({ query, variables, operationName }, { headers = {} } = {}) {
  if (isSubscription(query, operationName)) return subscribe({ query, variables, operationName }, headers);
  const response = await fetch('graphql', {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ query, variables, operationName }),
  });
  return response.json();
}

/** From the text itself: the editor's syntax tree lags behind what is typed. */
function isSubscription(query, operationName) {
  const text = query.replace(/#.*|"(\\.|[^"\\])*"/g, ' ');
  if (operationName) return new RegExp(`\\bsubscription\\s+${operationName}\\b`).test(text);
  return /(^|\})\s*subscription\b/.test(text);
}

function subscribe(request, headers) {
  const wanted = headers.Authorization ?? headers.authorization;
  const changed = wanted !== authorization;
  authorization = wanted;
  return {
    subscribe(observer) {
      const stop = client.start(
        request,
        (result) => observer.next(result),
        (errors) => (errors ? observer.error(errors) : observer.complete()),
      );
      if (changed) client.reconnect();
      return { unsubscribe: stop };
    },
  };
}

ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, { fetcher, defaultQuery: FIRST_QUERY, shouldPersistHeaders: false }),
);
