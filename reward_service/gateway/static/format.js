// Numbers and times in words: short, aligned, and the same everywhere. Null is a dash: nothing was measured.

export const NOTHING = "–";
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const hm = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const hms = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

const known = (value) => typeof value === "number" && Number.isFinite(value);

export const count = (value) => (known(value) ? (Math.abs(value) < 10_000 ? whole : compact).format(value) : NOTHING);

export function rate(value) {
  if (!known(value)) return NOTHING;
  return value !== 0 && value < 10 ? value.toFixed(value < 1 ? 2 : 1) : count(value);
}

export const score = (value) => (known(value) ? value.toFixed(2) : NOTHING);
export const fine = (value) => (known(value) ? value.toFixed(3) : NOTHING);
export const signed = (value) => (known(value) ? (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2) : NOTHING);

export function percent(value) {
  if (!known(value)) return NOTHING;
  const share = value * 100;
  if (share === 0) return "0 %";
  if (share < 0.1) return "< 0.1 %";
  return `${share.toFixed(share < 10 ? 1 : 0)} %`;
}

export function milliseconds(value) {
  if (!known(value)) return NOTHING;
  if (value === 0) return "0 ms";
  if (value < 1) return `${value.toFixed(2)} ms`;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${value.toFixed(0)} ms`;
  return `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)} s`;
}

export const clock = (seconds) => hm.format(seconds * 1000);
export const clockSeconds = (seconds) => hms.format(seconds * 1000);

// The time of day, with the day if it isn't today.
export function moment(seconds, now) {
  const time = clockSeconds(seconds);
  return day.format(seconds * 1000) === day.format(now * 1000) ? time : `${day.format(seconds * 1000)}, ${time}`;
}

export function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export const ago = (seconds, now) => `${span(now - seconds)} ago`;
export const words = (name) => name.replaceAll("_", " ");
