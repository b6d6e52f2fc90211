// Is something wrong, where, since when: the first thing on the page. Alerts of one data source stand together,
// because one cause (a policy that found a hole) raises several.

import { foreign, h, keyed, setAttribute, setHidden, setText } from "../dom.js";
import { ago, count, moment, words } from "../format.js";
import { linkTo } from "./state.js";

const KINDS = {
  judge_down: ["Judge model is down", 3],
  rejects_right_answers: ["Verifier may reject right answers", 3],
  error_rate: ["Items can't be judged", 3],
  score_jump: ["Score jumped", 2],
  score_drop: ["Score fell", 2],
  flag_jump: ["Signs of reward hacking", 2],
  no_answer_jump: ["Answers went missing", 1],
  length_jump: ["Response length jumped", 1],
};
const SHOWN = 5;

export function titleOf(alert) {
  const kind = alert.kind === "score_jump" && alert.value < alert.baseline ? "score_drop" : alert.kind;
  return KINDS[kind]?.[0] ?? words(kind);
}
const weight = (kind) => KINDS[kind]?.[1] ?? 1;

export const nameOf = (source) => (source === "" ? "Whole service" : source);

// Alerts by data source: the gravest first, then the latest.
export function grouped(alerts) {
  const groups = new Map();
  for (const alert of alerts) {
    const group = groups.get(alert.data_source) ?? { source: alert.data_source, alerts: [], since: Infinity, weight: 0 };
    group.alerts.push(alert);
    group.since = Math.min(group.since, alert.since);
    group.weight = Math.max(group.weight, weight(alert.kind));
    groups.set(alert.data_source, group);
  }
  for (const group of groups.values()) group.alerts.sort((one, other) => weight(other.kind) - weight(one.kind) || one.since - other.since);
  return [...groups.values()].sort((one, other) => other.weight - one.weight || other.since - one.since);
}

export class Alerts {
  constructor(section) {
    this.section = section;
    this.headline = section.querySelector("#headline");
    this.note = section.querySelector("#headline-note");
    this.list = section.querySelector("#alerts");
    this.more = section.querySelector("#more-alerts");
    this.all = false;
    this.more.addEventListener("click", () => {
      this.all = !this.all;
      if (this.data) this.update(this.data, this.view);
    });
  }

  update(data, view) {
    this.data = data;
    this.view = view;
    const wanted = view.source === null ? data.alerts : data.alerts.filter((alert) => alert.data_source === view.source);
    const groups = grouped(wanted);
    const calm = data.counted.items > 0 ? "good" : "idle";
    setAttribute(this.section, "data-state", groups.length === 0 ? calm : groups[0].weight > 1 ? "bad" : "warn");
    setText(this.headline, this.words(groups, data, view));
    const { items, errors } = data.counted;
    setText(this.note, items === 0 ? "Items sent to /v1/score or /v1/score/batch appear here; with X-Run-Id, by run." : `${count(items)} items in this window, ${errors === 0 ? "none" : count(errors)} of them not judged.`);
    const shown = this.all ? groups : groups.slice(0, SHOWN);
    keyed(this.list, shown, (group) => group.source, (group) => this.make(group), (node, group) => this.fill(node, group, data, view));
    setHidden(this.list, groups.length === 0);
    setHidden(this.more, groups.length <= SHOWN);
    setText(this.more, this.all ? "Show fewer" : `Show all ${groups.length}`);
    setAttribute(this.more, "aria-expanded", String(this.all));
  }

  words(groups, data, view) {
    if (groups.length === 0) {
      if (data.counted.items > 0) return "Nothing looks wrong";
      return view.run === null && view.source === null ? "Nothing has been scored yet" : "Nothing was scored in this window";
    }
    if (view.source !== null) return groups[0].alerts.length === 1 ? "Something looks wrong here" : `${groups[0].alerts.length} things look wrong here`;
    const service = groups.some((group) => group.source === "");
    const sources = groups.length - (service ? 1 : 0);
    const named = sources === 0 ? "" : sources === 1 ? "1 data source" : `${sources} data sources`;
    if (!service) return `Something looks wrong in ${named}`;
    return named ? `Something looks wrong in the service, and in ${named}` : "Something looks wrong in the service";
  }

  make(group) {
    const name = group.source === ""
      ? h("span", { class: "where", text: nameOf("") })
      : h("a", { class: "where", href: linkTo(group.source) }, foreign(group.source));
    return h("li", { class: "alert" }, h("div", { class: "row" }, name, h("span", { class: "since muted" })), h("ul"));
  }

  fill(node, group, data, view) {
    const link = node.querySelector("a.where");
    if (link) setAttribute(link, "href", linkTo(group.source));
    setAttribute(node, "data-weight", String(Math.min(2, group.weight)));
    setText(node.querySelector(".since"), `since ${moment(group.since, data.now)}, ${ago(group.since, data.now)}`);
    keyed(
      node.lastChild,
      group.alerts,
      (alert) => `${alert.kind}\n${alert.run ?? ""}`,
      () => h("li", {}, h("span", { class: "tag" }), h("span", { class: "text" })),
      (line, alert) => {
        setText(line.firstChild, titleOf(alert));
        setAttribute(line.firstChild, "class", weight(alert.kind) > 1 ? "tag bad" : "tag warn");
        const run = alert.run && view.run === null ? ` (run ${alert.run})` : "";
        setText(line.lastChild, `${alert.text}${run && !alert.text.includes(alert.run) ? run : ""}`);
      },
    );
  }
}

// For the charts: when these alerts began. Those of one data source that are nearer than `near` seconds are one.
export function marksOf(data, near, wanted) {
  const marks = [];
  for (const alert of data.alerts.filter(wanted).sort((one, other) => one.since - other.since)) {
    if (marks.some((mark) => mark.source === alert.data_source && alert.since - mark.at < near)) continue;
    const where = alert.data_source ? ` in ${alert.data_source}` : "";
    marks.push({ at: alert.since, source: alert.data_source, label: `${titleOf(alert)}${where}` });
  }
  return marks;
}
