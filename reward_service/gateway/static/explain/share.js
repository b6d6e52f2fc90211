// A row in a link. What is decided here: it stands compressed behind the #, which a browser sends to nobody; a link has a
// size that chats and terminals still carry; and unpacking is bounded, because a link comes from anybody.

export const LONGEST = 16_000; // characters of a link's fragment
const UNPACKED = 1 << 20; // bytes of the row in it
const VERSION = "1.";

async function through(bytes, stream, most) {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const pieces = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > most) {
      await reader.cancel();
      throw new RangeError("the row in the link is too large");
    }
    pieces.push(value);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

// The fragment for a row, without the #. RangeError if it is too long for a link.
export async function pack(item) {
  const bytes = new TextEncoder().encode(JSON.stringify(item));
  const packed = await through(bytes, new CompressionStream("deflate-raw"), 64 << 20);
  let text = "";
  for (const byte of packed) text += String.fromCharCode(byte);
  const fragment = VERSION + btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  if (fragment.length > LONGEST) {
    const size = Math.ceil(fragment.length / 1000);
    throw new RangeError(
      `This row makes a link of ${size},000 characters; more than ${LONGEST / 1000},000 get cut on their way. ` +
        "Share the verdict's id, if it is kept, or the row as a file.",
    );
  }
  return fragment;
}

// The row in a fragment; null if it is none of ours. An error if it is broken or too large.
export async function unpack(fragment) {
  if (!fragment.startsWith(VERSION)) return null;
  if (fragment.length > 4 * LONGEST) throw new RangeError("the link is too long");
  const text = atob(fragment.slice(VERSION.length).replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const json = new TextDecoder("utf-8", { fatal: true }).decode(
    await through(bytes, new DecompressionStream("deflate-raw"), UNPACKED),
  );
  const item = JSON.parse(json);
  if (item === null || typeof item !== "object" || Array.isArray(item)) throw new TypeError("no row in the link");
  return item;
}
