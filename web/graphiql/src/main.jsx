import { GraphiQL } from "graphiql";
import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import { useMemo, useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import { config } from "./config.js";
import { fetcherWithToken } from "./fetcher.js";
import "./page.css";

// A token typed here outlives a reload of this browser tab and nothing more.
const STORED_TOKEN = "atelier-token";

// GraphiQL fills its first tab's query from `defaultTabs`, but not its variables (5.4): on a first visit both are given.
const isFirstVisit = localStorage.getItem("graphiql:tabState") === null;
const first = isFirstVisit ? config.tabs[0] : undefined;

function Page() {
  const [token, setToken] = useState(sessionStorage.getItem(STORED_TOKEN) ?? config.token ?? "");
  const current = useRef(token);
  current.current = token.trim();
  const fetcher = useMemo(() => fetcherWithToken(() => current.current), []);

  const change = (event) => {
    setToken(event.target.value);
    sessionStorage.setItem(STORED_TOKEN, event.target.value);
  };

  return (
    <GraphiQL
      fetcher={fetcher}
      defaultTabs={config.tabs.length ? config.tabs : undefined}
      defaultQuery=""
      initialQuery={first?.query}
      initialVariables={first?.variables ?? undefined}
    >
      <GraphiQL.Logo>
        <label className="atelier-token">
          Token
          <input type="password" autoComplete="off" spellCheck="false" value={token} onChange={change} />
        </label>
      </GraphiQL.Logo>
    </GraphiQL>
  );
}

createRoot(document.getElementById("graphiql")).render(<Page />);
