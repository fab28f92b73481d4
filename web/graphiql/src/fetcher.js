import { createGraphiQLFetcher } from "@graphiql/toolkit";

const endpoint = new URL("/graphql", location.href);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol.replace("http", "ws");

const fetchOrSubscribe = createGraphiQLFetcher({ url: endpoint.href, subscriptionUrl: socket.href });

// Lower case, so that a header of the tab replaces the token instead of standing beside it. For subscriptions the
// toolkit sends the same names as the payload of connection_init.
function lowerCased(headers = {}) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** A fetcher that adds the present token, unless the tab's own headers say otherwise. */
export function fetcherWithToken(currentToken) {
  return (operation, options) => {
    const token = currentToken();
    const authorization = token ? { authorization: `Bearer ${token}` } : {};
    return fetchOrSubscribe(operation, { ...options, headers: { ...authorization, ...lowerCased(options?.headers) } });
  };
}
