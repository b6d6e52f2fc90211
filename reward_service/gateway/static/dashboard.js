// The dashboard: asks for the telemetry once a step, and hands it to the parts that show it. What is decided here:
// nothing is asked for while the page is hidden or paused, and what can't be had is said, with the time since when.

import { foreign, h, keyed, setAttribute, setHidden, setText } from "./dom.js";
import { Alerts } from "./dashboard/alerts.js";
import { setSparkline, sparkline } from "./dashboard/chart.js";
import { Charts, gauges, OF_ONE, OVERVIEW, reasons, tiles } from "./dashboard/charts.js";
import { beginning, bin, finished, smoothed, sum } from "./dashboard/series.js";
import { setTitle, Source } from "./dashboard/source.js";
import { Sources } from "./dashboard/sources.js";
import { hash, query, read, windows } from "./dashboard/state.js";
import { clockSeconds, count, moment, percent, span } from "./format.js";

const at = (id) => document.getElementById(id);
const SLOWEST = 10; // seconds between two polls, at most
const PATIENCE = 15; // seconds for an answer

const parts = {
  alerts: new Alerts(at("health")),
  sources: new Sources(at("sources")),
  source: new Source(at("one")),
  overview: new Charts(at("overview-charts"), OVERVIEW),
  ofOne: new Charts(at("one-charts"), OF_ONE),
};
let view = read();
let timer = null;
let asking = null;
let paused = false;
let failing = null; // since when nothing was answered
let step = SLOWEST;
let shown = null; // the last answer

async function poll() {
  clearTimeout(timer);
  asking?.abort();
  const mine = (asking = new AbortController());
  const patience = setTimeout(() => mine.abort(), PATIENCE * 1000);
  const wanted = view;
  try {
    // A page that was opened with any:KEY@host in its address has the key in its base; fetch refuses such addresses, and the
    // browser adds the key by itself.
    const address = new URL(query(wanted), document.baseURI);
    address.username = address.password = "";
    const answer = await fetch(address, { signal: mine.signal, headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`the service answered ${answer.status}`);
    const data = await answer.json();
    if (asking !== mine) return;
    failing = null;
    step = data.step_seconds;
    show(data, wanted);
  } catch (error) {
    if (asking !== mine) return; // another question took its place
    failing ??= Date.now() / 1000;
    complain(error);
  } finally {
    clearTimeout(patience);
    if (asking === mine) {
      asking = null;
      schedule();
    }
  }
}

function schedule() {
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(poll, Math.min(SLOWEST, Math.max(1, step)) * 1000);
}

function complain(error) {
  const text = error.name === "AbortError" ? `no answer within ${PATIENCE} s` : error.message;
  setText(at("trouble"), `No news from the service since ${clockSeconds(failing)}: ${text}. What stands below is older. It is asked again.`);
  setHidden(at("trouble"), false);
}

// The telemetry without the steps before there was anything, and without the one that still runs.
function whole(data) {
  const start = beginning(data);
  const end = finished(data);
  const cut = (value) => {
    if (Array.isArray(value)) return value.slice(start, end);
    return Object.fromEntries(Object.entries(value).map(([name, list]) => [name, cut(list)]));
  };
  const sources = data.sources.map((one) => ({ ...one, mean_steps: cut(one.mean_steps ?? []), no_answer_steps: cut(one.no_answer_steps ?? []), flag_steps: cut(one.flag_steps ?? []) }));
  const counted = { items: sum(data.totals.items), errors: sum(data.totals.errors) }; // the running step, too
  return { ...data, counted, steps: cut(data.steps), totals: cut(data.totals), gauges: cut(data.gauges ?? {}), sources };
}

function show(raw, asked) {
  const data = whole(raw);
  shown = data;
  const one = asked.source !== null;
  setHidden(at("trouble"), true);
  setText(at("fresh"), `Updated ${clockSeconds(data.now)}`);
  showRuns(data, asked);
  showWindows(data, asked);
  parts.alerts.update(data, asked);
  showTiles(data, one);
  const from = data.steps[0] ?? data.now - 60;
  if (one) {
    parts.source.update(data, asked.source);
    parts.ofOne.update(data, from, asked.source);
    showReasons(at("one-reasons"), data);
  } else {
    parts.overview.update(data, from, null);
    parts.sources.update(data);
    showReasons(at("reasons"), data);
    showGauges(data);
    showErrors(data);
    showShadow(data);
  }
  document.body.dataset.ready = hash(asked); // for tests: what is drawn
}

function showRuns(data, asked) {
  const select = at("run");
  const known = data.runs.map((run) => ({ value: run.run, text: `${run.run === "" ? "no run id" : run.run} · ${count(run.items)} items` }));
  if (asked.run !== null && !known.some((run) => run.value === asked.run)) known.unshift({ value: asked.run, text: asked.run });
  const options = [{ value: null, text: "All runs" }, ...known];
  keyed(select, options, (run) => JSON.stringify(run.value), (run) => h("option", { value: JSON.stringify(run.value) }), (node, run) => setText(node, run.text));
  if (document.activeElement !== select) select.value = JSON.stringify(asked.run);
}

function showWindows(data, asked) {
  const select = at("window");
  const most = Math.max(...windows(data.step_seconds));
  const known = windows(data.step_seconds).map((minutes) => (minutes === most ? null : minutes));
  if (!known.includes(asked.minutes)) known.unshift(asked.minutes);
  keyed(select, known, (minutes) => JSON.stringify(minutes), (minutes) => h("option", { value: JSON.stringify(minutes), text: span((minutes ?? most) * 60) }), () => {});
  if (document.activeElement !== select) select.value = JSON.stringify(asked.minutes);
}

function showTiles(data, one) {
  keyed(
    at("tiles"),
    tiles(data, one),
    (tile) => tile.name,
    (tile) => h("div", { class: "tile" }, h("dt", { text: tile.name }), h("dd", {}, h("span", { class: "figure" }), sparkline("wide"))),
    (node, tile) => {
      const [text, spark] = node.lastChild.children;
      setText(text, tile.text);
      setAttribute(text, "class", tile.bad ? "figure bad" : "figure");
      setSparkline(spark, smoothed(tile.values, bin(tile.values.length, 60)), tile.top ?? tile.least, tile.top !== undefined);
    },
  );
}

function showReasons(list, data) {
  keyed(
    list,
    reasons(data),
    (one) => one.name,
    (one) => h("tr", {}, h("th", { scope: "row", text: one.name.replaceAll("_", " ") }), h("td", { class: "bar" }, h("span", { class: "fill" })), h("td", { class: "number" }), h("td", { class: "number muted" })),
    (node, one) => {
      node.children[1].firstChild.style.width = `${100 * one.share}%`;
      node.children[1].firstChild.style.background = `var(${one.color})`;
      setText(node.children[2], percent(one.share));
      setText(node.children[3], count(one.items));
    },
  );
}

function showGauges(data) {
  keyed(at("gauges"), gauges(data), (one) => one.name, (one) => h("div", {}, h("dt", { text: one.name }), h("dd")), (node, one) => setText(node.lastChild, one.text));
}

function showErrors(data) {
  const errors = [...data.recent_errors].sort((one, other) => other.at - one.at);
  keyed(
    at("errors"),
    errors,
    (one) => `${one.data_source}\n${one.reason}\n${one.message}`,
    (one) => h("tr", {}, h("th", { scope: "row" }), h("td", {}, foreign(one.data_source || "–")), h("td", { text: one.reason.replaceAll("_", " ") }), h("td", { class: "foreign" }, foreign(one.message)), h("td", { class: "number" })),
    (node, one) => {
      setText(node.firstChild, moment(one.at, data.now));
      setText(node.lastChild, count(one.count));
    },
  );
  setHidden(at("no-errors"), errors.length > 0);
  setHidden(at("errors").closest(".scroll"), errors.length === 0);
}

function showShadow(data) {
  const rows = data.shadow ?? [];
  setHidden(at("shadow"), rows.length === 0);
  keyed(
    at("shadow-rows"),
    rows,
    (one) => `${one.data_source}\n${one.handler}`,
    (one) => h("tr", {}, h("th", { scope: "row" }, foreign(one.data_source)), h("td", {}, foreign(`${one.handler} ${one.version} → ${one.shadow_version}`)), ...Array.from({ length: 5 }, () => h("td", { class: "number" })), h("td", { class: "row" })),
    (node, one) => {
      const share = percent(one.compared ? one.flips / one.compared : null);
      const range = one.share_95 ? `, ${percent(one.share_95[0])} to ${percent(one.share_95[1])}` : "";
      const texts = [count(one.compared), `${count(one.flips)} (${share}${range})`, count(one.up), count(one.down), count(one.not_comparable)];
      texts.forEach((text, place) => setText(node.children[place + 2], text));
      const samples = (one.samples ?? []).slice(-3).reverse();
      keyed(node.lastChild, samples, (id) => id, (id) => h("a", { href: `explain?verdict=${encodeURIComponent(id)}` }, foreign(id.slice(0, 6))), () => {});
    },
  );
}

function route() {
  view = read();
  const one = view.source !== null;
  setHidden(at("all"), one);
  setHidden(at("one"), !one);
  setHidden(at("crumb"), !one);
  at("crumb").firstElementChild.setAttribute("href", hash({ ...view, source: null }));
  if (one) setTitle(at("title"), view.source);
  else {
    at("title").textContent = "Dashboard";
    delete at("title").dataset.name;
  }
  document.title = `${one ? view.source || "(no data source)" : "Dashboard"} · Reward Service`;
  poll();
}

function choose(change) {
  location.hash = hash({ ...read(), ...change });
}

at("window").addEventListener("change", (event) => choose({ minutes: JSON.parse(event.target.value) }));
at("run").addEventListener("change", (event) => choose({ run: JSON.parse(event.target.value) }));
at("pause").addEventListener("click", () => {
  paused = !paused;
  setText(at("pause"), paused ? "Resume" : "Pause");
  if (paused) {
    clearTimeout(timer);
    if (shown) setText(at("fresh"), `Paused at ${clockSeconds(shown.now)}`);
  } else poll();
});
at("choices").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (!paused) poll();
});
addEventListener("hashchange", () => {
  const before = view.source;
  route();
  if (view.source !== before) {
    scrollTo(0, 0);
    at("title").focus({ preventScroll: true }); // a new page, to who can't see that it changed
  }
});
route();
