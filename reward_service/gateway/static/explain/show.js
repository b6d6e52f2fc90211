// An explanation as a page: the verdict first, then what was read, how it was compared, and who decided.

import { h } from "../dom.js";
import { cut, difference, indexes, nodes } from "./text.js";

const OUTSIDE = 6_000; // characters before and after the part that is of interest
const card = (title, ...children) => h("section", { class: "card" }, h("h2", { text: title }), ...children);
const cell = (value, kind = "") => h("span", { class: `cell ${kind}` }, ...(Array.isArray(value) ? value : nodes(value ?? "")));
const said = { equal: "good", "not equal": "bad", "can't say": "" };

export function show(told) {
  return [
    verdict(told),
    response(told),
    forms(told),
    ladder(told),
    checks(told),
    times(told),
    raw(told),
  ].filter((part) => part !== null);
}

function verdict(told) {
  const error = told.status === "error";
  const kind = error ? "warn" : told.correct ? "good" : "bad";
  const figure = error ? "Error" : Number(told.score.toFixed(3)).toString();
  const words = [
    h("p", { class: "why" }, ...nodes(told.reason_text[0].toUpperCase() + told.reason_text.slice(1))),
    h("p", { class: "row muted" }, h("code", { text: told.reason }), error ? "not judged: no score, and nothing to learn from" : `score ${figure} of 1`),
  ];
  return h(
    "section",
    { class: `card verdict ${kind}`, "aria-label": "Verdict" },
    h("div", {}, h("span", { class: "visually-hidden", text: error ? "" : "Score " }), h("span", { class: "figure", text: figure })),
    h("div", { class: "words" }, ...words),
    told.needed ? h("p", { class: "needed" }, h("b", { text: "In short: " }), ...nodes(told.needed)) : null,
    flags(told),
    routing(told),
  );
}

function flags(told) {
  if (!told.flags.length && !told.shadow) return null;
  const list = told.flags.map((flag) => h("li", {}, h("span", { class: "tag warn" }, ...nodes(flag.flag)), " ", ...nodes(flag.text)));
  if (told.shadow) {
    const text = `The shadow (${told.shadow.handler} ${told.shadow.version}, ${told.shadow.profile}) said ${told.shadow.score}: ${told.shadow.reason}`;
    list.push(h("li", {}, h("span", { class: "tag accent", text: "flip" }), " ", ...nodes(text)));
  }
  return h("ul", { class: "flags", "aria-label": "Flags" }, ...list);
}

function routing(told) {
  const route = told.routing;
  const steps = [];
  for (const [name, what] of [[route.asked, "as it was sent"], [route.data_source, "data source"], [route.entry, "routing entry"]]) {
    if (name !== null && name !== steps.at(-1)?.name) steps.push({ name, what });
  }
  const way = steps.flatMap(({ name, what }, place) => [place ? h("span", { class: "arrow", "aria-hidden": "true", text: "→" }) : null, h("code", { title: what }, ...nodes(name))]);
  if (told.handler) {
    way.push(h("span", { class: "arrow", "aria-hidden": "true", text: "→" }), h("span", { class: "tag accent" }, ...nodes(`${told.handler} ${told.version}`)));
  }
  return h(
    "dl",
    { class: "facts needed" },
    h("dt", { text: "Routing" }),
    h("dd", { class: "steps" }, ...way.filter((one) => one !== null), h("span", { class: "tag", text: told.profile })),
    ...(told.rule ? [h("dt", { text: "Rule" }), h("dd", {}, ...nodes(told.rule))] : []),
    ...(told.routing.ground_truth_format ? [h("dt", { text: "Ground truth is" }), h("dd", {}, ...nodes(told.routing.ground_truth_format))] : []),
    ...(told.verdict ? [h("dt", { text: "Verdict" }), h("dd", {}, h("code", { text: told.verdict }), told.kept ? " (kept)" : "")] : []),
    ...told.hidden.flatMap((text) => [h("dt", { text: "Hidden" }), h("dd", { class: "warn" }, ...nodes(text))]),
  );
}

function response(told) {
  const found = told.extraction;
  const placed = found !== null && found.start !== null;
  const text = told.response;
  const part = told.part ?? [0, Infinity];
  const [from, to, start, end] = indexes(text, [
    part[0], Math.min(part[1], text.length), placed ? found.start : 0, placed ? found.end : 0,
  ]);
  const mark = h("mark", { id: "read", tabindex: "-1" }, ...nodes(cut(text.slice(start, end), 2 * OUTSIDE)));
  const inside = (a, b, cuts) => piece(text, a, b, from, to, cuts);
  const body = placed
    ? [...inside(0, start, { head: start > OUTSIDE * 2 }), mark, ...inside(end, text.length, { tail: text.length - end > OUTSIDE * 2 })]
    : inside(0, text.length, {});
  const box = h("div", { class: "text", tabindex: "0", role: "region", "aria-label": "The response" }, ...(text ? body : [h("span", { class: "outside", text: "(the response is empty)" })]));
  return card(
    "What was read",
    h(
      "p",
      { class: "legend" },
      placed ? h("span", {}, h("mark", { text: "marked" }), " ", ...nodes(found.rule ?? "the extracted text"), found.by_search ? h("span", { class: "muted", text: " (its place was searched for)" }) : null)
        : h("span", { class: "bad" }, ...nodes(found?.rule ? `${found.rule}: it does not stand there as it was read` : "No answer was found in the response.")),
      told.part && part[0] > 0 ? h("span", { class: "muted", text: "grey: thinking, which does not count" }) : null,
      placed ? h("button", { type: "button", class: "button quiet", text: "Go to it", onclick: () => goTo(box, mark) }) : null,
    ),
    box,
    told.extracted === null ? null : h("p", { class: "facts" }, h("span", { class: "muted", text: "extracted" }), cell(told.extracted)),
  );
}

export function goTo(box, mark) {
  box.scrollTop += mark.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
}

// A piece of the response; what lies outside of [from, to) is grey.
function piece(text, start, end, from, to, cuts) {
  const out = [];
  for (const [a, b, grey] of [[start, Math.min(end, from), true], [Math.max(start, from), Math.min(end, to), false], [Math.max(start, to), end, true]]) {
    if (a >= b) continue;
    const shown = nodes(cut(text.slice(a, b), 4 * OUTSIDE, cuts.head ? { head: false } : cuts.tail ? { tail: false } : {}));
    if (grey) out.push(h("span", { class: "outside" }, ...shown));
    else out.push(...shown);
  }
  return out;
}

function labelled(label, content) {
  return h("td", { "data-label": label }, content);
}

function table(name, heads, rows, kind) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
    h("table", { class: `table ${kind}` }, h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col", text })))), h("tbody", {}, ...rows)),
  );
}

function forms(told) {
  if (!told.forms.length) {
    if (told.ground_truth === null || told.checks.length) return null;
    const gold = typeof told.ground_truth === "string" ? told.ground_truth : JSON.stringify(told.ground_truth, null, 1);
    return card("Side by side", table("Answer and ground truth", ["", "Answer", "Ground truth"], [
      h("tr", {}, h("th", { scope: "row", text: "as it came" }), labelled("Answer", cell(told.extracted ?? "")), labelled("Ground truth", cell(cut(gold, 4_000)))),
    ], "sides"));
  }
  const rows = told.forms.map((form) => {
    const [mine, theirs] = form.ground_truth === undefined ? [nodes(form.answer), nodes("–")] : difference(form.answer, form.ground_truth);
    const what = form.about ? `${form.what} (${form.about})` : form.what;
    return h("tr", {}, h("th", { scope: "row" }, ...nodes(what)), labelled("Answer", cell(mine, "diff")), labelled("Ground truth", cell(theirs, "diff expected")));
  });
  return card("Side by side, as they were compared", table("Normal forms", ["Form", "Answer", "Ground truth"], rows, "sides"));
}

function ladder(told) {
  if (!told.comparators.length) return null;
  const steps = told.comparators.map((step, place) => {
    const note = [step.about, step.note].filter(Boolean).join("; ");
    return h(
      "li",
      { class: step.fired ? "fired" : null, "aria-current": step.fired ? "step" : null },
      h("span", { class: "rung", "aria-hidden": "true", text: String(place + 1) }),
      h("span", { class: "name" }, ...nodes(step.comparator), step.fired ? h("span", { class: "visually-hidden", text: " (decided)" }) : null),
      h("span", {}, h("span", { class: `tag ${said[step.said] ?? ""}`, text: step.said })),
      h("span", { class: "muted note-text" }, ...nodes(note), step.fired ? h("b", { text: note ? " · decided" : "decided" }) : null),
    );
  });
  return card("Comparators, in the order in which they were asked", h("ol", { class: "ladder" }, ...steps), leftOut(told, "comparators"));
}

function checks(told) {
  if (!told.checks.length) return null;
  const has = (name) => told.checks.some((check) => check[name] !== undefined);
  const columns = [["input", "Input"], ["expected", "Expected"], ["got", "Got"]].filter(([name]) => has(name));
  const messages = has("message") || has("stderr");
  const rows = told.checks.map((check) => {
    const both = check.expected !== undefined && check.got !== undefined && !check.passed;
    const [got, expected] = both ? difference(check.got, check.expected) : [nodes(check.got ?? ""), nodes(check.expected ?? "")];
    const shown = { input: nodes(check.input ?? ""), got, expected };
    const kinds = { input: "", got: both ? "diff" : "", expected: both ? "diff expected" : "" };
    const said = [check.status && check.status !== "ok" ? check.status : "", check.message, check.stderr].filter(Boolean).join("\n");
    return h(
      "tr",
      { class: check.passed ? null : "failed" },
      h("th", { scope: "row" }, h("span", { class: `mark ${check.passed ? "good" : "bad"}`, "aria-hidden": "true", text: check.passed ? "✓ " : "✗ " }), h("span", { class: "visually-hidden", text: check.passed ? "passed: " : "failed: " }), ...nodes(check.name)),
      ...columns.map(([name, label]) => labelled(label, cell(shown[name], kinds[name]))),
      messages ? labelled("Message", cell(said)) : null,
    );
  });
  const failed = told.checks.filter((check) => !check.passed).length;
  const title = failed ? `Checks: ${failed} of ${told.checks.length} shown failed` : `Checks: all ${told.checks.length} shown passed`;
  const heads = ["Check", ...columns.map(([, label]) => label), ...(messages ? ["Message"] : [])];
  return card(title, table("Checks", heads, rows, "checks"), leftOut(told, "checks"));
}

function leftOut(told, name) {
  const count = told.left_out[name];
  return count ? h("p", { class: "muted small", text: `${count.toLocaleString("en")} more are left out.` }) : null;
}

const TIMES = [["verify_ms", "Checking (CPU)"], ["queue_ms", "Waiting"], ["sandbox_ms", "Sandbox (CPU)"], ["judge_ms", "Judge model"]];

function times(told) {
  const shown = TIMES.filter(([name]) => told.timings[name] > 0 || name === "verify_ms");
  return card("Time", h("dl", { class: "times" }, ...shown.map(([name, label]) => h("div", {}, h("dt", { text: label }), h("dd", { text: `${told.timings[name].toFixed(2)} ms` })))));
}

function raw(told) {
  const parts = [["Detail", told.detail], ["Trace", told.trace], ["extra_info as sent", told.extra_info]].filter(([, value]) => Object.keys(value).length);
  if (!parts.length) return null;
  return h(
    "details",
    { class: "card" },
    h("summary", { text: "What else the handler says" }),
    h("div", { class: "raw" }, ...parts.map(([name, value]) => h("div", {}, h("h3", { text: name }), h("div", { class: "text", tabindex: "0", role: "region", "aria-label": name }, ...nodes(cut(JSON.stringify(value, null, 1), 20_000)))))),
  );
}
