import { defineConfig } from "vite";

// One page and its assets, served by app/graphiql.py: nothing is loaded from another origin.
export default defineConfig({
  base: "/graphiql/",
  esbuild: { jsx: "automatic" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4000,
    modulePreload: { polyfill: false },
  },
  worker: { format: "es" },
});
