// What the server wrote into the page: { token: string | null, tabs: [{ query, variables? }] }.
const element = document.getElementById("atelier-config");

export const config = { token: null, tabs: [], ...JSON.parse(element?.textContent || "{}") };
