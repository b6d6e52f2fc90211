// What the page shows, kept in the address's hash: a link can be shared, and the browser's back button works.

const STEPS = 180; // as many as the service keeps

// The windows that there are to choose from, in minutes: all that is kept, half, a sixth.
export const windows = (stepSeconds) => [6, 2, 1].map((part) => (stepSeconds * STEPS) / 60 / part);

export function read() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const minutes = Number.parseFloat(asked.get("minutes"));
  return {
    source: asked.get("source"), // null: all of them; "" is a data source, too
    run: asked.get("run"),
    minutes: minutes > 0 ? minutes : null, // null: all that is kept
  };
}

export function hash(view) {
  const parts = new URLSearchParams();
  if (view.source !== null) parts.set("source", view.source);
  if (view.run !== null) parts.set("run", view.run);
  if (view.minutes !== null) parts.set("minutes", String(view.minutes));
  return `#${parts}`;
}

export const linkTo = (source) => hash({ ...read(), source });

export function query(view) {
  const parts = new URLSearchParams();
  if (view.minutes !== null) parts.set("minutes", String(view.minutes));
  if (view.run !== null) parts.set("run", view.run);
  if (view.source !== null) parts.set("data_source", view.source);
  return `v1/telemetry?${parts}`;
}
