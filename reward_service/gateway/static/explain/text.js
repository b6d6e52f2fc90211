// Text that a policy wrote, as nodes. What is decided here: it only ever goes in as text nodes; characters that would
// move, reorder or hide the text beside them are shown as escapes; places count code points, as the service does.

import { h } from "../dom.js";

// As in reward_service/visible.py; line feeds and tabs stay.
const UNPRINTABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/u;

export function nodes(text) {
  const out = [];
  let plain = "";
  for (const character of text) {
    if (UNPRINTABLE.test(character)) {
      if (plain) out.push(document.createTextNode(plain));
      plain = "";
      const code = character.codePointAt(0).toString(16).padStart(4, "0");
      out.push(h("span", { class: "escape", text: `\\u${code}` }));
    } else plain += character;
  }
  if (plain) out.push(document.createTextNode(plain));
  return out;
}

// The UTF-16 index of each of some places that count code points, in their order.
export function indexes(text, places) {
  const found = new Map();
  const wanted = [...new Set(places)].sort((a, b) => a - b);
  let points = 0;
  let index = 0;
  for (const place of wanted) {
    while (points < place && index < text.length) {
      index += text.codePointAt(index) > 0xffff ? 2 : 1;
      points += 1;
    }
    found.set(place, index);
  }
  return places.map((place) => found.get(place));
}

// What stays of a piece that is too long to be shown whole.
export function cut(text, most, { head = true, tail = true } = {}) {
  if (text.length <= most) return text;
  const side = Math.floor(most / (head && tail ? 2 : 1));
  const gap = ` … ${(text.length - most).toLocaleString("en")} characters … `;
  return (head ? text.slice(0, side) : "") + gap + (tail ? text.slice(-side) : "");
}

// Two texts as nodes, with what differs in the middle marked.
export function difference(mine, theirs) {
  const least = Math.min(mine.length, theirs.length);
  let start = 0;
  while (start < least && mine[start] === theirs[start]) start += 1;
  let end = 0;
  while (end < least - start && mine[mine.length - 1 - end] === theirs[theirs.length - 1 - end]) end += 1;
  // Not inside of a character of two units.
  const high = (code) => code >= 0xd800 && code < 0xdc00;
  const low = (code) => code >= 0xdc00 && code < 0xe000;
  if (start && high(mine.charCodeAt(start - 1))) start -= 1;
  if (end && low(mine.charCodeAt(mine.length - end))) end -= 1;
  return [mine, theirs].map((text) => {
    const middle = text.slice(start, text.length - end);
    return [
      ...nodes(text.slice(0, start)),
      ...(middle && mine !== theirs ? [h("mark", {}, ...nodes(middle))] : nodes(middle)),
      ...nodes(text.slice(text.length - end)),
    ];
  });
}
