// Which charts there are and what each takes from the telemetry. One list for the whole service, one for a single
// data source; both read `totals`, which the service has already narrowed down.

import { count, milliseconds, percent, rate, score } from "../format.js";
import { marksOf } from "./alerts.js";
import { Chart } from "./chart.js";
import { add, bin, ERRORS, groupOf, GROUPS, largest, last, minus, over, perSecond, smoothed, sum } from "./series.js";
import { linkTo } from "./state.js";

const PALETTE = ["--s1", "--s4", "--s3", "--s5", "--s6", "--s2"];
const line = (label, values, color, href) => ({ label, values, color, href });

const THROUGHPUT = {
  title: "Throughput",
  note: "items per second",
  format: rate,
  stacked: true,
  series: ({ totals, step_seconds: step }) => {
    const checked = minus(minus(totals.items, totals.cached), totals.errors);
    return [
      line("checked", perSecond(checked, step), "--s1"),
      line("from the cache", perSecond(totals.cached, step), "--s7"),
      line("not judged", perSecond(totals.errors, step), "--bad-line"),
    ];
  },
};

const LATENCY = {
  title: "Time of an item",
  note: "mean, where it was spent",
  format: milliseconds,
  stacked: true,
  series: ({ totals }) => [
    line("checking", over(totals.verify_ms, totals.fresh), "--s1"),
    line("sandbox", over(totals.sandbox_ms, totals.fresh), "--s3"),
    line("judge model", over(totals.judge_ms, totals.fresh), "--s5"),
    line("waiting", over(totals.queue_ms, totals.fresh), "--s8"),
  ],
};

const REQUESTS = {
  title: "Time of a request",
  note: "median and 95th percentile",
  format: milliseconds,
  series: ({ totals }) => [
    line("median", totals.request_p50_ms ?? [], "--s1"),
    line("95 %", totals.request_p95_ms ?? [], "--s4"),
  ],
};

const OUTCOMES = {
  title: "Outcomes",
  about: "all",
  note: "share of items",
  format: percent,
  stacked: true,
  max: 1,
  series: ({ totals, steps }) => {
    const reasons = Object.entries(totals.reasons ?? {});
    return GROUPS.map((group) => {
      const lists = reasons.filter(([reason]) => groupOf(reason) === group).map(([, list]) => list);
      return line(group.label, over(add(lists, steps.length), totals.items), group.color);
    }).filter((one) => one.values.some((value) => value));
  },
};

const FLAGS = {
  title: "Flags",
  about: "sources",
  note: "items a minute that look like reward hacking",
  format: rate,
  stacked: true,
  top: 1,
  series: ({ totals, step_seconds: step, steps }) => {
    const flags = largest(totals.flags);
    const per = (list) => perSecond(list, step / 60);
    const shown = flags.slice(0, 5).map(([name, list], place) => line(name.replaceAll("_", " "), per(list), PALETTE[(place + 1) % 6]));
    const others = flags.slice(5).map(([, list]) => list);
    return others.length ? [...shown, line("others", per(add(others, steps.length)), "--s8")] : shown;
  },
};

const CACHE = {
  title: "Cache",
  note: "share of items answered from it",
  format: percent,
  max: 1,
  series: ({ totals }) => [line("hits", over(totals.cached, totals.items), "--s7")],
};

// Six data sources: those with alerts, then the busiest.
function leading(data) {
  return [...data.sources]
    .sort((one, other) => other.alerts - one.alerts || other.items - one.items)
    .slice(0, 6)
    .filter((source) => source.items > 0);
}

const perSource = (title, note, format, field, more) => ({
  title,
  note,
  format,
  ...more,
  smooth: 60,
  series: (data) => leading(data).map((source, place) => line(source.data_source || "(none)", source[field] ?? [], PALETTE[place], linkTo(source.data_source))),
});

const SCORES = perSource("Mean score by data source", "those with alerts first, then the busiest", score, "mean_steps", { max: 1, wide: true, about: "sources" });
const NO_ANSWERS = perSource("No answer by data source", "share of scored items", percent, "no_answer_steps", { top: 0.05, wide: true, about: "sources" });

const gauge = (data, name) => data.gauges?.[`reward_service_${name}`] ?? null;
const share = (data, part, whole) => {
  const [some, all] = [gauge(data, part), gauge(data, whole)];
  return some && all ? some.map((value, place) => (value === null || !all[place] ? null : value / all[place])) : null;
};
const present = (lines) => lines.filter((one) => one.values !== null);

const BUSY = {
  title: "Pool and sandbox",
  note: "share at work",
  format: percent,
  max: 1,
  series: (data) => present([
    line("checking processes", share(data, "pool_busy", "pool_processes"), "--s1"),
    line("sandbox places", share(data, "sandbox_busy", "sandbox_places"), "--s3"),
  ]),
};

const QUEUE = {
  title: "Queue depth",
  note: "what waits",
  format: count,
  top: 4,
  series: (data) => present([
    line("items for a process", gauge(data, "pool_queued_items"), "--s1"),
    line("items for the sandbox", gauge(data, "sandbox_waiting"), "--s3"),
    line("chunks of requests", gauge(data, "queue_live_chunks"), "--s4"),
    line("chunks of batches", gauge(data, "queue_batch_chunks"), "--s5"),
    line("chunks at the fleet", gauge(data, "fleet_chunks"), "--s7"),
  ]),
};

const MEAN = {
  title: "Mean score",
  note: "of scored items",
  format: score,
  max: 1,
  wide: true,
  series: ({ totals }) => [line("mean score", over(totals.score_sum, totals.scored), "--s1")],
};

const RATES = {
  title: "No answer, flags, errors",
  note: "share of items",
  format: percent,
  top: 0.05,
  wide: true,
  series: ({ totals }) => [
    line("no answer", over(totals.no_answer, totals.scored), "--s4"),
    line("flagged", over(totals.flagged, totals.items), "--s5"),
    line("not judged", over(totals.errors, totals.items), "--bad-line"),
  ],
};

export const OVERVIEW = [SCORES, NO_ANSWERS, THROUGHPUT, OUTCOMES, FLAGS, LATENCY, REQUESTS, CACHE, BUSY, QUEUE];
export const OF_ONE = [MEAN, RATES, OUTCOMES, THROUGHPUT, FLAGS, LATENCY];

// Charts in a grid. All share their cursor: a time in one is the same time in the others.
export class Charts {
  constructor(parent, specs) {
    this.charts = specs.map((spec) => new Chart(spec));
    for (const chart of this.charts) {
      if (chart.spec.wide) chart.node.classList.add("wide");
      parent.append(chart.node);
    }
  }

  // only: the data source that the page is about, or null.
  update(data, from, only) {
    const to = data.steps.at(-1) ?? data.now;
    const near = (to - from) / 60;
    const marks = {
      sources: marksOf(data, near, (alert) => alert.data_source !== "" && (only === null || alert.data_source === only)),
      service: marksOf(data, near, (alert) => alert.data_source === ""),
    };
    marks.all = [...marks.sources, ...marks.service];
    for (const chart of this.charts) {
      const { smooth, about } = chart.spec;
      const wide = smooth ? bin(data.steps.length, smooth) : 1;
      const series = chart.spec.series(data).map((one) => ({ ...one, values: smoothed(one.values, wide) }));
      const steps = data.steps.filter((_, place) => place % wide === 0);
      chart.update({ steps, series, marks: marks[only === null ? (about ?? "service") : "sources"], from, to });
    }
  }
}

// The numbers on top: name, text, what it was over time, a fixed or a least top for the line, and whether it is alarming.
// one: the page is about one data source.
export function tiles(data, one) {
  const { totals, step_seconds: step } = data;
  const of = (counts, bases) => (sum(bases) ? sum(counts) / sum(bases) : null);
  const recent = totals.items.slice(-Math.max(1, Math.round(60 / step)));
  const waiting = [gauge(data, "pool_queued_items"), gauge(data, "sandbox_waiting"), gauge(data, "fleet_chunks")].filter((list) => list !== null);
  const depth = waiting.length ? waiting[0].map((_, place) => waiting.reduce((total, list) => total + (list[place] ?? 0), 0)) : [];
  const errors = of(totals.errors, totals.items);
  const all = [
    { name: "Throughput", text: `${rate(sum(recent) / (recent.length * step))}/s`, values: totals.items },
    { name: "Mean score", text: score(of(totals.score_sum, totals.scored)), values: over(totals.score_sum, totals.scored), top: 1 },
    { name: "No answer", text: percent(of(totals.no_answer, totals.scored)), values: over(totals.no_answer, totals.scored), least: 0.02 },
    { name: "Not judged", text: percent(errors), values: over(totals.errors, totals.items), least: 0.02, bad: errors > 0.01 },
    { name: "Flagged", text: percent(of(totals.flagged, totals.items)), values: over(totals.flagged, totals.items), least: 0.02 },
    { name: "From the cache", text: percent(of(totals.cached, totals.items)), values: over(totals.cached, totals.items), top: 1 },
    { name: "Request, 95 %", text: milliseconds(last(totals.request_p95_ms)), values: totals.request_p95_ms ?? [] },
    { name: "Waiting", text: count(last(depth) ?? null), values: depth },
  ];
  return one ? all.slice(0, -2) : all; // requests and queues hold items of all data sources
}

const GAUGES = {
  pool_processes: "Checking processes up",
  pool_busy: "Checking processes at work",
  pool_queued_items: "Items waiting for a process",
  sandbox_places: "Sandbox places",
  sandbox_busy: "Sandbox places at work",
  sandbox_waiting: "Items waiting for the sandbox",
  judge_in_service: "Judge model",
  judge_canary_accepted: "Attacks that the judge accepted",
  cache_entries: "Outcomes in the cache",
  fleet_chunks: "Chunks at the fleet",
  queue_live_chunks: "Chunks of requests waiting",
  queue_batch_chunks: "Chunks of batches waiting",
  shadow_queued_items: "Items waiting for a shadow verifier",
};

// The latest value of every gauge, in words.
export function gauges(data) {
  const judged = last(gauge(data, "judge_configured"));
  const shown = Object.entries(data.gauges ?? {}).filter(([name]) => !name.endsWith("judge_configured") && (judged !== 0 || !name.endsWith("judge_canary_accepted")));
  return shown.map(([full, list]) => {
    const name = full.replace(/^reward_service_/, "");
    const value = last(list);
    let text = count(value);
    if (name === "judge_in_service") text = judged === 0 ? "none" : value === null ? text : value ? "in service" : "not in service";
    if (name === "judge_canary_accepted") text = percent(value);
    return { name: GAUGES[name] ?? (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " "), text };
  });
}

// Reasons by number: name, items, share, the colour of their group.
export function reasons(data) {
  const total = sum(data.totals.items);
  return largest(data.totals.reasons).map(([name, , items]) => ({
    name, items, share: total ? items / total : 0, color: groupOf(name).color, error: ERRORS.has(name),
  }));
}
