// GraphiQL from our own files. Queries go over HTTP, subscriptions over our own WebSocket client; an Authorization header
// from the headers editor goes with both.
import { createLiveClient } from './live.js';

const { React, ReactDOM, GraphiQL } = window;

const FIRST_QUERY = `# Ctrl-Enter runs the query; the Docs panel explains every field.
# An API key, where one is needed, goes into Headers: { "Authorization": "Bearer ..." }
{
  ledger {
    position
    tip { height hash }
    customersSats
    walletsSats
    differenceSats
  }
  # What did we know at event 1, and what stood at height 0?
  # then: ledger(asOf: { position: "1" }) { customersSats }
  accounts(first: 10) {
    edges { node { id availableSats pendingSats } }
  }
}
`;

let authorization;
const client = createLiveClient({ authorization: () => authorization });

async function fetcher({ query, variables, operationName }, { headers = {}, documentAST } = {}) {
  const operation = documentAST?.definitions.find(
    ({ kind, name }) => kind === 'OperationDefinition' && (!operationName || name?.value === operationName),
  );
  if (operation?.operation === 'subscription') return subscribe({ query, variables, operationName }, headers);
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ query, variables, operationName }),
  });
  return response.json();
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
