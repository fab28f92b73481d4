// The console for when GraphiQL is not built: queries and mutations by fetch, subscriptions by graphql-transport-ws.
const part = (id) => document.getElementById(id);
const config = { token: null, tabs: [], ...JSON.parse(part("atelier-config")?.textContent || "{}") };
let socket = null;

function show(value) {
  part("answer").textContent = typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function authorization() {
  const token = part("token").value.trim();
  return token ? { authorization: `Bearer ${token}` } : {};
}

async function execute(operation) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json, application/json;q=0.9",
      ...authorization(),
    },
    body: JSON.stringify(operation),
  });
  show(await response.json());
}

function subscribe(operation) {
  const received = [];
  const opened = new WebSocket(`${location.origin.replace("http", "ws")}/graphql`, "graphql-transport-ws");
  const say = (message) => opened.send(JSON.stringify(message));
  const answers = {
    connection_ack: () => say({ id: "1", type: "subscribe", payload: operation }),
    ping: () => say({ type: "pong" }),
    next: ({ payload }) => received.push(payload) && show(received),
    error: ({ payload }) => show({ errors: payload }),
    complete: () => opened.close(1000),
  };
  opened.onopen = () => say({ type: "connection_init", payload: authorization() });
  opened.onmessage = ({ data }) => answers[JSON.parse(data).type]?.(JSON.parse(data));
  opened.onclose = ({ code, reason }) => {
    part("stop").disabled = true;
    if (code !== 1000) show(`The connection closed: ${code} ${reason}`);
  };
  part("stop").disabled = false;
  socket = opened;
}

async function run() {
  socket?.close(1000);
  show("…");
  try {
    const query = part("query").value;
    const operation = { query, variables: JSON.parse(part("variables").value || "{}") };
    if (/^\s*subscription\b/m.test(query)) subscribe(operation);
    else await execute(operation);
  } catch (error) {
    show(String(error));
  }
}

function choose({ query, variables }) {
  part("query").value = query;
  part("variables").value = variables ?? "";
}

config.tabs.forEach(({ query }, index) => {
  const name = query.match(/^(?:query|mutation|subscription)\s+\w+/m)?.[0] ?? `Example ${index + 1}`;
  part("examples").add(new Option(name, index));
});
part("examples").onchange = ({ target }) => choose(config.tabs[target.value]);
part("form").onsubmit = (event) => {
  event.preventDefault();
  run();
};
part("form").onkeydown = (event) => {
  if (event.ctrlKey && event.key === "Enter") part("form").requestSubmit();
};
part("stop").onclick = () => socket?.close(1000);
part("token").value = config.token ?? "";
if (config.tabs.length) choose(config.tabs[0]);
