// Notes: how they are cut, and who signed them. SPEC.md sections 1.1, 1.3 and 1.4.
import { createHash, createPublicKey, verify } from "node:crypto";
import { refuse, require } from "./form.mjs";

const DASH = Buffer.from("\u2014 ");
const LF = 0x0a;
const NAME = /^[!-*,-~]+$/; // printable ASCII without a space and without a plus
const KIND = /^[!-~]+$/;
const ED25519 = Buffer.from([1]);
export const AGE = Buffer.from("age-encryption.org/v1\n");
export const NOTE_MAX = 16_384;
export const DIRECTORY_MAX = 8_388_608;
const SIGNATURES_MAX = 32;
const LINE_MAX = 5_120;

export const sha256 = (data) => createHash("sha256").update(data).digest();
export const sha256Hex = (data) => sha256(data).toString("hex");
export const startsWith = (data, prefix) => data.subarray(0, prefix.length).equals(prefix);

/** A note and what follows it. */
export function split(data, max) {
  const head = data.subarray(0, max + 1);
  const first = head.indexOf(LF);
  const second = first < 0 ? -1 : head.indexOf(LF, first + 1);
  require(second >= 0 && head[second + 1] === LF, "no two lines and an empty one");
  const [signatures, end] = signatureLines(head, second + 2);
  require(signatures.length > 0, "no signature line");
  require(end <= max, "too long");
  const [kind, origin] = heading(data.subarray(0, first));
  const text = data.subarray(0, second + 1);
  const note = { kind, origin, json: data.subarray(first + 1, second), text, raw: data.subarray(0, end), signatures };
  return { note: { ...note, digest: sha256Hex(text) }, rest: data.subarray(end) };
}

/** A note of a kind and exchange with nothing behind it. */
export function lone(data, kind, origin, max = NOTE_MAX) {
  const { note, rest } = split(data, max);
  require(note.kind === kind && note.origin === origin, "another kind or exchange");
  require(rest.length === 0, "something follows");
  return note;
}

/** The JSON of a note that stands unsigned: its two lines and nothing else. */
export function unsigned(data, kind, origin) {
  const first = Buffer.from(`${kind} ${origin}\n`);
  require(data.length <= NOTE_MAX && startsWith(data, first), "another kind or exchange, or too long");
  require(data.indexOf(LF, first.length) === data.length - 1 && data.length > first.length, "not two lines");
  return data.subarray(first.length, -1);
}

export function signatureLines(data, start) {
  const signatures = [];
  let at = start;
  while (startsWith(data.subarray(at), DASH)) {
    const end = data.indexOf(LF, at);
    require(end >= 0, "a line without an end");
    require(end - at <= LINE_MAX, "a line too long");
    require(signatures.length < SIGNATURES_MAX, "too many lines");
    signatures.push(signatureLine(data.subarray(at + DASH.length, end)));
    at = end + 1;
  }
  const names = signatures.map(({ name, keyId }) => `${name} ${keyId}`);
  require(new Set(names).size === names.length, "two lines of one name and key id");
  return [signatures, at];
}

function signatureLine(line) {
  const [name, base64, ...more] = line.toString("latin1").split(" ");
  require(base64 !== undefined && more.length === 0 && NAME.test(name), "not a name, a space and base64");
  const bytes = Buffer.from(base64, "base64");
  require(bytes.toString("base64") === base64 && bytes.length > 4, "not base64 in its one spelling");
  return { name, keyId: bytes.subarray(0, 4).toString("hex"), value: bytes.subarray(4) };
}

function heading(line) {
  const [kind, origin, ...more] = line.toString("latin1").split(" ");
  require(origin !== undefined && more.length === 0 && KIND.test(kind) && NAME.test(origin), "no kind and origin");
  return [kind, origin];
}

export const keyId = (name, publicBytes, type = ED25519) =>
  sha256(Buffer.concat([Buffer.from(`${name}\n`), type, publicBytes]))
    .subarray(0, 4)
    .toString("hex");

/** Whether an Ed25519 signature holds. */
export function holds(publicHex, signature, text) {
  if (signature.length !== 64) return false;
  try {
    const x = Buffer.from(publicHex, "hex").toString("base64url");
    return verify(null, text, createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }), signature);
  } catch {
    return false;
  }
}

/**
 * The keys among `may` ({name, key in hex}) that signed, each public key once. Lines of others are not looked at; a
 * line of one of them that does not hold makes the whole note unbelieved.
 */
export function signers(note, may) {
  const found = new Map();
  for (const { name, keyId: id, value } of note.signatures) {
    const named = may.filter((one) => one.name === name && keyId(name, Buffer.from(one.key, "hex")) === id);
    const holding = named.filter((one) => holds(one.key, value, note.text));
    require(named.length === 0 || holding.length > 0, `the signature of ${name} does not hold`);
    for (const one of holding) if (!found.has(one.key)) found.set(one.key, one);
  }
  return [...found.values()];
}

/** The one key that signed a note of exactly one line. */
export function signer(note, may) {
  require(note.signatures.length === 1, "not exactly one signature line");
  return signers(note, may)[0] ?? refuse("not signed by a key that may");
}
