// The page that explains one verdict. What is decided here: a row that came with a link is filled in and waits for its
// reader, because judging a stranger's row runs programs; a kept verdict is explained at once, it has been judged before.

import { h } from "./dom.js";
import { empty, fill, item, NotARow, pasted } from "./explain/fields.js";
import { pack, unpack } from "./explain/share.js";
import { goTo, show } from "./explain/show.js";
import { nodes } from "./explain/text.js";

const at = (id) => document.getElementById(id);
const PATIENCE = 130; // seconds: a request's deadline is 120
let asking = null;
const examples = new Map();

function say(id, text) {
  at(id).textContent = text ?? "";
  at(id).hidden = !text;
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { accept: "application/json", ...(options.body ? { "content-type": "application/json" } : {}) } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.detail ? `${body.title}: ${body.detail}` : `the service answered ${answer.status}`);
  return body;
}

async function explain(wanted) {
  asking?.abort();
  const mine = (asking = new AbortController());
  const patience = setTimeout(() => mine.abort(), PATIENCE * 1000);
  at("go").disabled = true;
  at("result").setAttribute("aria-busy", "true");
  say("trouble", "");
  say("note", "");
  try {
    const told = await ask("v1/explain", { method: "POST", body: JSON.stringify(wanted), signal: mine.signal });
    if (asking === mine) draw(told);
    return told;
  } catch (error) {
    if (asking === mine) say("trouble", mine.signal.aborted ? "The service did not answer in time." : `Not explained. ${error.message}`);
    return null;
  } finally {
    clearTimeout(patience);
    if (asking === mine) {
      asking = null;
      at("go").disabled = false;
      at("result").setAttribute("aria-busy", "false");
    }
  }
}

function draw(told) {
  at("empty").hidden = true;
  at("told").hidden = false;
  at("told").replaceChildren(
    h("h2", { id: "told-title", tabindex: "-1", class: "visually-hidden", text: told.status === "error" ? "Not judged" : `Score ${told.score}: ${told.reason_text}` }),
    ...show(told),
  );
  at("told-title").focus({ preventScroll: true });
  const mark = at("read");
  if (mark) goTo(mark.closest(".text"), mark);
  if (matchMedia("(max-width: 960px)").matches) at("result").scrollIntoView();
}

async function submit(event) {
  event?.preventDefault();
  try {
    await explain({ item: item() });
  } catch (error) {
    if (!(error instanceof NotARow)) throw error;
    say("trouble", error.message);
  }
}

async function open(verdict) {
  const told = await explain({ verdict });
  if (told === null) return;
  fill({ ...told, data_source: told.routing.asked });
  at("verdict").value = verdict;
  history.replaceState(null, "", `?verdict=${verdict}`);
}

function take(row, note) {
  fill(row);
  say("note", note);
  say("trouble", "");
  at("shared").hidden = true;
}

function paste() {
  const line = at("paste").value.trim();
  if (!line) return;
  try {
    take(pasted(line), "The row is filled in.");
  } catch (error) {
    if (!(error instanceof NotARow)) throw error;
    say("note", error.message);
  }
}

async function share() {
  let link;
  try {
    const verdict = new URLSearchParams(location.search).get("verdict");
    const fragment = await pack(item());
    link = new URL(location.pathname, location.origin);
    link.hash = fragment;
    if (verdict && verdict === at("verdict").value) link = new URL(location.href.split("#")[0]);
  } catch (error) {
    say("trouble", error.message);
    return;
  }
  at("link").value = link.href;
  at("shared").hidden = false;
  try {
    await navigator.clipboard.writeText(link.href);
    say("note", "The link is copied.");
  } catch {
    at("link").select(); // no clipboard without a secure context
    say("note", "The link is below; copy it from there.");
  }
}

async function listExamples() {
  try {
    const { data_sources: sources } = await ask("v1/data-sources");
    sources.sort((a, b) => a.domain.localeCompare(b.domain) || a.data_source.localeCompare(b.data_source));
    let group = null;
    for (const source of sources) {
      if (group?.label !== source.domain) at("example").append((group = h("optgroup", { label: source.domain })));
      group.append(h("option", { value: source.data_source, text: source.data_source }));
      if (!source.data_source.endsWith("*")) at("names").append(h("option", { value: source.data_source }));
      examples.set(source.data_source, source.example);
    }
  } catch (error) {
    say("trouble", `No examples: ${error.message}`);
  }
}

async function listKept() {
  if (!at("kept").open) return;
  try {
    const { verdicts } = await ask("v1/verdicts?limit=200");
    at("kept-none").hidden = verdicts.length > 0;
    at("kept-list").replaceChildren(...verdicts.map(kept));
  } catch (error) {
    say("trouble", `No verdicts: ${error.message}`);
  }
}

function kept(one) {
  const kind = one.status === "error" ? "warn" : one.score === 1 ? "good" : one.score > 0 ? "accent" : "bad";
  const figure = one.status === "error" ? "error" : String(Number(one.score.toFixed(2)));
  const words = [one.reason, ...one.flags, ...(one.shadow ? ["flip"] : [])].join(", ");
  return h("li", {}, h("button", { type: "button", onclick: () => open(one.verdict) },
    h("span", { class: `tag ${kind}`, text: figure }),
    h("span", { class: "said" }, ...nodes(one.data_source), h("span", { class: "muted" }, " · ", ...nodes(words))),
    h("span", {}),
    h("span", { class: "said muted small" }, ...nodes(one.extracted || "nothing extracted")),
  ));
}

async function start() {
  at("form").addEventListener("submit", submit);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  });
  at("example").addEventListener("change", () => {
    const example = examples.get(at("example").value);
    if (!example) return;
    take(example, "An example that scores full marks: change it, and see what becomes of it.");
    submit();
  });
  at("paste-open").addEventListener("click", () => {
    const hidden = !at("paste-area").hidden;
    at("paste-area").hidden = hidden;
    at("paste-open").setAttribute("aria-expanded", String(!hidden));
    if (!hidden) at("paste").focus();
  });
  at("paste").addEventListener("input", paste);
  at("ground_truth").addEventListener("input", () => {
    if (at("kind").value === "json") at("kind").value = "auto";
  });
  at("share").addEventListener("click", share);
  at("clear").addEventListener("click", () => {
    empty();
    take({}, "");
    at("example").value = "";
    history.replaceState(null, "", location.pathname);
    at("data_source").focus();
  });
  at("open").addEventListener("click", () => {
    const id = at("verdict").value.trim().toLowerCase();
    if (/^[0-9a-f]{16}$/.test(id)) open(id);
    else say("trouble", "A verdict's id has 16 hex digits.");
  });
  at("kept").addEventListener("toggle", listKept);
  addEventListener("hashchange", fromLink);
  listExamples().then(() => (document.body.dataset.examples = "there"));
  const verdict = new URLSearchParams(location.search).get("verdict");
  if (verdict !== null && /^[0-9a-f]{16}$/.test(verdict)) await open(verdict);
  else if (verdict !== null) say("trouble", "The link names no verdict: an id has 16 hex digits.");
  await fromLink();
  document.body.dataset.ready = "";
}

async function fromLink() {
  const fragment = location.hash.slice(1);
  if (!fragment || fragment === "main") return;
  try {
    const row = await unpack(fragment);
    if (row !== null) {
      take(row, "This row came with a link. Read it, then press Explain.");
      at("go").focus();
    }
  } catch {
    say("trouble", "The row in this link can't be read: it was cut or changed on its way.");
  }
}

start();
