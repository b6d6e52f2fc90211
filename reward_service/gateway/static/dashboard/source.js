// One data source: what it is, its numbers, score against response length, and verdicts to read.

import { foreign, h, keyed, setAttribute, setHidden, setText } from "../dom.js";
import { clockSeconds, count, fine, moment, NOTHING, percent, score, signed } from "../format.js";

const KINDS = {
  all: () => true,
  rejected: (one) => one.status === "scored" && one.score === 0,
  accepted: (one) => one.score > 0,
  flagged: (one) => one.flags.length > 0,
  error: (one) => one.status === "error",
};

export class Source {
  constructor(section) {
    this.facts = section.querySelector("#facts");
    this.lengths = section.querySelector("#lengths");
    this.verdicts = section.querySelector("#verdicts tbody");
    this.none = section.querySelector("#no-verdicts");
    this.kind = section.querySelector("#verdict-kind");
    this.kind.addEventListener("change", () => this.drawVerdicts());
  }

  update(data, name) {
    this.data = data;
    this.drawFacts(data.sources.find((one) => one.data_source === name));
    this.drawLengths(data.lengths ?? []);
    this.drawVerdicts();
  }

  drawFacts(one) {
    const facts = one
      ? [
          ["Domain", one.domain || NOTHING],
          ["Handler", one.handler ? `${one.handler} ${one.version}` : NOTHING],
          ["Items", count(one.items)],
          ["Mean score", fine(one.mean)],
          ["Variance", fine(one.variance)],
          ["No answer", percent(one.no_answer_rate)],
          ["Not judged", percent(one.masked_rate)],
          ["Flagged", percent(one.flag_rate)],
          ["Time limit", percent(one.time_limit_rate)],
          ["Duplicate answers", percent(one.duplicate_rate)],
          ["Groups", count(one.groups)],
          ["All-0 groups", percent(one.all_zero_groups)],
          ["All-1 groups", percent(one.all_one_groups)],
          ["Length ~ score", signed(one.length_correlation)],
        ]
      : [];
    keyed(this.facts, facts, ([title]) => title, ([title]) => h("div", {}, h("dt", { text: title }), h("dd")), (node, [, text]) => setText(node.lastChild, text));
  }

  drawLengths(bins) {
    const filled = bins.filter((bin) => bin.items > 0);
    const most = Math.max(...filled.map((bin) => bin.items), 1);
    keyed(
      this.lengths,
      filled,
      (bin) => String(bin.from),
      (bin) => h("tr", {}, h("th", { scope: "row", text: bin.to === null ? `${count(bin.from)} and more` : `${count(bin.from)} – ${count(bin.to)}` }), h("td", { class: "bar" }, h("span", { class: "fill" })), h("td", { class: "number" }), h("td", { class: "bar" }, h("span", { class: "fill quiet" })), h("td", { class: "number" })),
      (node, bin) => {
        const [, mean, meanText, items, itemsText] = node.children;
        mean.firstChild.style.width = `${100 * (bin.mean ?? 0)}%`;
        setText(meanText, score(bin.mean));
        items.firstChild.style.width = `${(100 * bin.items) / most}%`;
        setText(itemsText, count(bin.items));
      },
    );
  }

  drawVerdicts() {
    if (!this.data) return;
    const all = this.data.verdicts ?? [];
    const shown = all.filter(KINDS[this.kind.value]);
    keyed(this.verdicts, shown, (one) => one.verdict, (one) => this.makeVerdict(one), () => {});
    setHidden(this.none, shown.length > 0);
    setText(this.none, all.length ? "No kept verdict is of this kind." : "No verdict is kept. They are samples: the next ones appear here.");
  }

  makeVerdict(one) {
    const text = (value) => h("td", { class: "mono foreign" }, value === null || value === undefined || value === "" ? NOTHING : foreign(String(value)));
    const flags = one.flags.map((flag) => h("span", { class: "tag warn" }, foreign(flag)));
    const when = moment(one.at, this.data.now);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, h("a", { href: `explain?verdict=${encodeURIComponent(one.verdict)}`, "aria-label": `Explain the verdict of ${when}, ${one.reason}` }, clockSeconds(one.at))),
      h("td", { class: "number", text: one.status === "error" ? "error" : score(one.score) }),
      h("td", { text: one.reason.replaceAll("_", " ") }),
      text(one.extracted),
      text(one.ground_truth),
      h("td", {}, ...flags),
      h("td", { class: "number", text: count(one.response_chars) }),
      h("td", { class: "mono" }, foreign(one.run || NOTHING)),
    );
  }
}

export function setTitle(node, name) {
  if (node.dataset.name === name) return;
  node.dataset.name = name;
  node.replaceChildren(name === "" ? "(no data source)" : foreign(name));
  setAttribute(node, "class", "name");
}
