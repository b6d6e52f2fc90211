// The table of data sources: sorted, filtered, a page at a time. What is decided here: only the rows of the page
// that is shown exist, and a poll keeps order and page, so that no row jumps away under a reader's hand.

import { foreign, h, keyed, setAttribute, setHidden, setText } from "../dom.js";
import { count, percent, score, signed } from "../format.js";
import { setSparkline, sparkline } from "./chart.js";
import { bin, smoothed } from "./series.js";
import { linkTo } from "./state.js";

const PAGE = 25;
const SUSPECTS = { rejects_right_answers: "rejects right answers?" };

// key, title, text, how it sorts first, class, what it means
const COLUMNS = [
  { key: "data_source", title: "Data source", first: 1 },
  { key: "items", title: "Items", show: count, first: -1 },
  { key: "mean", title: "Mean score", show: score, first: 1, spark: "mean_steps", top: 1 },
  { key: "no_answer_rate", title: "No answer", show: percent, first: -1, spark: "no_answer_steps", top: 0.05 },
  { key: "flag_rate", title: "Flagged", show: percent, first: -1, spark: "flag_steps", top: 0.05, minor: true },
  { key: "masked_rate", title: "Not judged", show: percent, first: -1, minor: true },
  { key: "time_limit_rate", title: "Time limit", show: percent, first: -1, minor: true },
  { key: "all_zero_groups", title: "All-0 groups", show: percent, first: -1, minor: true, about: "groups of samples that all scored 0: nothing to learn from" },
  { key: "all_one_groups", title: "All-1 groups", show: percent, first: -1, minor: true, about: "groups of samples that all scored 1" },
  { key: "duplicate_rate", title: "Duplicates", show: percent, first: -1, minor: true, about: "answers that another sample gave, too" },
  { key: "length_correlation", title: "Length ~ score", show: signed, first: -1, minor: true, about: "correlation of response length and score" },
];

export class Sources {
  constructor(section) {
    this.section = section;
    this.sort = { key: "alerts", way: -1 };
    this.page = 0;
    this.text = "";
    this.only = false;
    this.filter = section.querySelector("#filter");
    this.pager = section.querySelector("#pager");
    this.found = section.querySelector("#found");
    this.body = section.querySelector("tbody");
    this.filter.addEventListener("input", () => {
      this.text = this.filter.value.trim().toLowerCase();
      this.page = 0;
      this.draw();
    });
    section.querySelector("#only-alerts").addEventListener("change", (event) => {
      this.only = event.target.checked;
      this.page = 0;
      this.draw();
    });
    [this.back, this.next] = this.pager.querySelectorAll("button");
    this.back.addEventListener("click", () => this.turn(-1));
    this.next.addEventListener("click", () => this.turn(1));
    section.querySelector("thead tr").append(...COLUMNS.map((column) => this.head(column)));
    this.showSort();
  }

  head(column) {
    const button = h("button", { type: "button", class: "sort", title: column.about, onclick: () => this.sortBy(column) }, column.title, h("span", { class: "arrow", "aria-hidden": "true" }));
    const kind = [column.show ? "number" : "", column.minor ? "minor" : ""].filter(Boolean).join(" ");
    return h("th", { scope: "col", class: kind || null, "data-key": column.key }, button);
  }

  sortBy(column) {
    this.sort = { key: column.key, way: this.sort.key === column.key ? -this.sort.way : column.first };
    this.page = 0;
    this.showSort();
    this.draw();
  }

  showSort() {
    for (const cell of this.section.querySelectorAll("thead th")) {
      const mine = cell.dataset.key === this.sort.key;
      setAttribute(cell, "aria-sort", mine ? (this.sort.way > 0 ? "ascending" : "descending") : null);
      setText(cell.querySelector(".arrow"), mine ? (this.sort.way > 0 ? "↑" : "↓") : "");
    }
  }

  turn(by) {
    this.page += by;
    this.draw();
    this.section.querySelector("h2").scrollIntoView({ block: "nearest" });
  }

  update(data) {
    this.sources = data.sources;
    this.draw();
  }

  wanted() {
    const { key, way } = this.sort;
    const rows = this.sources.filter((one) => (!this.only || one.alerts > 0 || one.suspect) && [one.data_source, one.domain, one.handler].some((part) => (part ?? "").toLowerCase().includes(this.text)));
    const compare = (one, other) => {
      const [a, b] = [one[key] ?? null, other[key] ?? null];
      if (a === b) return 0;
      if (a === null) return 1; // what was not measured comes last, whichever way
      if (b === null) return -1;
      return typeof a === "string" ? way * a.localeCompare(b) : way * (a - b);
    };
    return rows.sort((one, other) => compare(one, other) || other.items - one.items || one.data_source.localeCompare(other.data_source));
  }

  draw() {
    if (!this.sources) return;
    const rows = this.wanted();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const start = this.page * PAGE;
    const shown = rows.slice(start, start + PAGE);
    keyed(this.body, shown, (one) => one.data_source, (one) => this.make(one), (node, one) => this.fill(node, one));
    const all = this.sources.length;
    setText(this.found, rows.length === 0 ? (all ? "No data source matches." : "No data source yet.") : pages === 1 ? `${rows.length} of ${all}` : `${start + 1}–${start + shown.length} of ${rows.length}${rows.length === all ? "" : `, ${all} in all`}`);
    setHidden(this.pager, pages === 1);
    this.back.disabled = this.page === 0;
    this.next.disabled = this.page === pages - 1;
  }

  make(one) {
    const link = h("a", { href: linkTo(one.data_source) }, one.data_source === "" ? "(none)" : foreign(one.data_source));
    const cells = COLUMNS.slice(1).map((column) => {
      const cell = h("td", { class: column.minor ? "number minor" : "number" }, h("span"));
      if (column.spark) cell.prepend(sparkline(column.key));
      return cell;
    });
    return h("tr", {}, h("th", { scope: "row" }, link, h("span", { class: "tags" }), h("span", { class: "muted handler" })), ...cells);
  }

  fill(node, one) {
    const [name, ...cells] = node.children;
    setAttribute(name.children[0], "href", linkTo(one.data_source));
    const tags = [];
    if (one.alerts) tags.push(one.alerts === 1 ? "1 alert" : `${one.alerts} alerts`);
    if (one.suspect) tags.push(SUSPECTS[one.suspect] ?? one.suspect.replaceAll("_", " "));
    keyed(name.children[1], tags, (tag) => tag, () => h("span", { class: "tag bad" }), (tag, text) => setText(tag, text));
    setText(name.children[2], one.handler ? `${one.domain} · ${one.handler}` : "");
    COLUMNS.slice(1).forEach((column, place) => {
      setText(cells[place].lastChild, column.show(one[column.key] ?? null));
      if (!column.spark) return;
      const values = one[column.spark] ?? [];
      setSparkline(cells[place].firstChild, smoothed(values, bin(values.length, 45)), column.top, column.key === "mean");
    });
  }
}
