// From the telemetry's lists to what a chart draws. Lists stand step by step; a step that still runs is left out,
// because a count of half a step looks like a drop.

export const ERRORS = new Set([
  "malformed_item", "malformed_ground_truth", "unknown_data_source", "unknown_ground_truth", "sandbox_unavailable",
  "judge_unavailable", "deadline", "overloaded", "service_unreachable", "internal",
]);

// What a reader wants to know first, each with the reasons in it. What is in none of them is "wrong".
export const GROUPS = [
  { label: "right", color: "--good-line", reasons: new Set(["equal", "tests_passed", "judge_yes"]) },
  { label: "partly right", color: "--partly", reasons: new Set(["partially_equal"]) },
  { label: "wrong", color: "--s8", reasons: new Set() },
  {
    label: "no usable answer",
    color: "--s4",
    reasons: new Set(["no_answer", "ambiguous_answer", "malformed_answer", "compile_error"]),
  },
  {
    label: "stopped by a limit",
    color: "--s5",
    reasons: new Set(["time_limit", "memory_limit", "output_limit", "budget_exceeded"]),
  },
  { label: "not judged (error)", color: "--bad-line", reasons: ERRORS },
];

export const groupOf = (reason) => GROUPS.find((group) => group.reasons.has(reason)) ?? GROUPS[2];

// How many steps are over.
export function finished(data) {
  let steps = data.steps.length;
  while (steps > 0 && data.steps[steps - 1] + data.step_seconds > data.now) steps -= 1;
  return steps;
}

// The first step that is worth drawing: where the service began to be watched or used, and some room before it.
const ROOM = 12;
export function beginning(data) {
  const lists = [data.totals.items, ...Object.values(data.gauges ?? {})];
  const first = data.steps.findIndex((_, place) => lists.some((list) => list?.[place]));
  const known = first < 0 ? data.steps.length : first;
  return Math.max(0, Math.min(known - 1, data.steps.length - ROOM));
}

export const sum = (list) => (list ?? []).reduce((total, value) => total + (value ?? 0), 0);
export const last = (list) => (list ?? []).findLast((value) => value !== null && value !== undefined) ?? null;

export const over = (counts, bases) =>
  (counts ?? []).map((value, place) => (bases?.[place] ? value / bases[place] : null));

export const share = (counts, bases) => {
  const base = sum(bases);
  return base ? sum(counts) / base : null;
};

export const perSecond = (counts, seconds) => (counts ?? []).map((value) => value / seconds);
export const minus = (one, other) => one.map((value, place) => Math.max(0, value - (other[place] ?? 0)));

export function add(lists, length) {
  const total = new Array(length).fill(0);
  for (const list of lists) for (let place = 0; place < length; place += 1) total[place] += list[place] ?? 0;
  return total;
}

// Means of as many neighbours as it takes for at most `most` values: what is noise from one step to the next goes,
// what lasts stays.
export const bin = (count, most) => Math.max(1, Math.ceil(count / most));
export function smoothed(list, wide) {
  if (wide === 1) return list;
  const means = [];
  for (let start = 0; start < list.length; start += wide) {
    const known = list.slice(start, start + wide).filter((value) => value !== null && value !== undefined);
    means.push(known.length ? known.reduce((total, value) => total + value, 0) / known.length : null);
  }
  return means;
}

// [name, list] by size, the largest first.
export const largest = (lists) =>
  Object.entries(lists ?? {})
    .map(([name, list]) => [name, list, sum(list)])
    .filter(([, , total]) => total > 0)
    .sort((one, other) => other[2] - one[2] || one[0].localeCompare(other[0]));
