// Building and changing the page. What is decided here: text only ever goes in as text, and a node is only touched
// when what it shows has changed, so that a poll with two hundred data sources costs what has changed.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path"]);

// An element. `text` is its text, `on…` adds a listener, null and false leave an attribute out.
export function h(tag, attributes = {}, ...children) {
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

// null removes the attribute.
export function setAttribute(node, name, value) {
  if (value === null) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== value) {
    node.setAttribute(name, value);
  }
}

// One child per entry, in their order. `key` names an entry; `make` builds its node, `update` fills it. A node stays
// for as long as its entry does: the keyboard's focus and the reader's place stay with it.
export function keyed(parent, entries, key, make, update) {
  const old = parent.keyedNodes ?? new Map();
  const now = new Map();
  for (const entry of entries) {
    const name = key(entry);
    const node = old.get(name) ?? make(entry);
    now.set(name, node);
    update(node, entry);
  }
  for (const [name, node] of old) if (!now.has(name)) node.remove();
  let place = parent.firstElementChild;
  for (const node of now.values()) {
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  parent.keyedNodes = now;
}

// Text that a policy or a row wrote: it can't turn around the text beside it (U+202E and its kin).
export const foreign = (text) => h("bdi", { text });
