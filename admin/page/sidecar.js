// The sidecar's management API, as this page asks it. The token is kept for as
// long as the tab is open.

const key = "weir-token";

export class Problem extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `weir answered with status ${status}`);
    this.status = status;
    this.errors = problem?.errors ?? [];
  }
}

export function setToken(token) {
  sessionStorage.setItem(key, token);
}

async function send(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  const token = sessionStorage.getItem(key);
  if (token) headers.Authorization = "Bearer " + token;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, signal, cache: "no-store", credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.ok) return response;
  throw new Problem(response.status, await response.json().catch(() => null));
}

export const get = async (path, signal) => (await send(path, { signal })).json();
export const change = async (method, path, body) => (await send(path, { method, body })).json();

// silence is how long the stream may say nothing before it counts as gone, in
// milliseconds: an event comes each second.
const silence = 15000;

// follow calls show with each state until the stream ends, which is an error.
export async function follow(signal, show) {
  const gone = new AbortController();
  const response = await send("v1/events", { signal: AbortSignal.any([signal, gone.signal]) });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let timer;
  let rest = "";
  try {
    for (;;) {
      timer = setTimeout(() => gone.abort(new Error("weir has said nothing for 15 s")), silence);
      const { value, done } = await reader.read();
      clearTimeout(timer);
      if (done) throw new Error("weir has ended the stream");
      rest += value;
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data:")) show(JSON.parse(line.slice(5)));
    }
  } finally {
    clearTimeout(timer);
  }
}
