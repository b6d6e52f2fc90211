// The form: a row as fields, and back. What is decided here: a ground truth that was text stays text, also where it looks
// like JSON, because `"42"` and 42 are two things; what somebody types is JSON where it can only be meant so.

const at = (id) => document.getElementById(id);
const text = (value) => (value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 1));

export class NotARow extends Error {}

function object(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

// Fields of a row in any of the layouts that the service reads.
export function fill(row) {
  at("data_source").value = text(row.data_source ?? row.domain);
  at("response").value = text(row.response ?? row.solution_str);
  const gold = row.ground_truth ?? (object(row.reward_model) ? row.reward_model.ground_truth : undefined);
  at("ground_truth").value = text(gold);
  at("kind").value = gold === undefined || gold === null ? "auto" : typeof gold === "string" ? "text" : "json";
  at("extra_info").value = object(row.extra_info) && Object.keys(row.extra_info).length ? text(row.extra_info) : "";
  at("prompt").value = text(row.prompt);
  at("profile").value = row.profile === "guru" ? "guru" : "strict";
  at("more").open = Boolean(at("extra_info").value);
}

export function empty() {
  fill({});
  at("paste").value = "";
}

// A pasted line as a row. NotARow says what is wrong with it.
export function pasted(line) {
  let row;
  try {
    row = JSON.parse(line);
  } catch {
    throw new NotARow("This is not JSON yet.");
  }
  if (Array.isArray(row) && row.length === 1) [row] = row;
  if (!object(row)) throw new NotARow("A row is a JSON object.");
  const known = ["data_source", "domain", "response", "solution_str", "ground_truth", "reward_model", "item"];
  if (object(row.item)) return row.item;
  if (!known.some((name) => name in row)) throw new NotARow(`A row has one of ${known.slice(0, 6).join(", ")}.`);
  return row;
}

function gold() {
  const written = at("ground_truth").value;
  const kind = at("kind").value;
  if (kind === "text") return written;
  const looks = /^\s*(?:[[{"]|true\s*$|false\s*$)/.test(written);
  if (kind === "json" || looks) {
    try {
      return JSON.parse(written);
    } catch {
      if (kind === "json") throw new NotARow("The ground truth is not JSON.");
    }
  }
  return written;
}

// The row that the fields say. NotARow for a field that can't be read.
export function item() {
  const made = { data_source: at("data_source").value.trim() || null, response: at("response").value, ground_truth: gold() };
  if (at("profile").value !== "strict") made.profile = at("profile").value;
  const extra = at("extra_info").value.trim();
  if (extra) {
    try {
      made.extra_info = JSON.parse(extra);
    } catch {
      throw new NotARow("extra_info is not JSON.");
    }
    if (!object(made.extra_info)) throw new NotARow("extra_info is a JSON object.");
  }
  const prompt = at("prompt").value.trim();
  if (prompt) {
    try {
      made.prompt = /^[[{]/.test(prompt) ? JSON.parse(prompt) : at("prompt").value;
    } catch {
      made.prompt = at("prompt").value;
    }
  }
  return made;
}
