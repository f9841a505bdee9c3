// Messages and what is said of them: SPEC.md sections 1.3 to 1.7, 2, 3.1, 5.1.
import { parse, decode, Refused, refuse, require } from "./form.mjs";
import * as kinds from "./kinds.mjs";
import { AGE, NOTE_MAX, lone, sha256Hex, signer, split, startsWith } from "./note.mjs";
import { SealKey, shape, unseal } from "./seal.mjs";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const BODY_MAX = 1_048_576;
const MESSAGE_MAX = NOTE_MAX + BODY_MAX;
const MESSAGE = "valija/message/v1";
const WARNING =
  "Opening this proves nothing about who wrote it: anyone can seal to you. Verify the signature on the note that came with it, for instance with `valija inspect FILE`.";

/** Ends a walk with an outcome class. */
class Outcome extends Error {
  constructor(name, why) {
    super(why);
    this.outcome = name;
  }
}

/** The outcome class of a walk that may end early. */
export function outcomeOf(walk) {
  try {
    return { outcome: "accept", output: walk() };
  } catch (error) {
    if (error instanceof Outcome) return { outcome: error.outcome };
    throw error;
  }
}

/** Do `work`; a refusal in it ends the walk with `name`. */
function orElse(name, work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof Refused) throw new Outcome(name, error.message);
    throw error;
  }
}

const must = (condition, name, why) => {
  if (!condition) throw new Outcome(name, why);
};

/** A message, framed and in form; whose origin is still to be looked at. */
export function read(data) {
  require(data.length <= MESSAGE_MAX, "too large");
  const { note, rest } = split(data, NOTE_MAX);
  require(note.kind === MESSAGE, "not a message");
  require(startsWith(rest, AGE), "no body follows the note");
  const header = decode(note.json, kinds.message);
  require(header.body !== null, "it names no body");
  return { note, header, body: rest };
}

/** The `sign` key of the sender that signed, as a directory version has it, and in force at `sent`. */
function checkSignature({ note, header }, registry, version) {
  const point = registry.point(header.from, version) ?? refuse("the sender is not in the directory");
  const key = signer(
    note,
    point.sign.map((one) => ({ ...one, name: `${registry.origin}/${header.from}` })),
  );
  requireInForce(key, header.sent);
}

function requireInForce(key, at) {
  require(key.status === "active" || (key.status === "retired" && at < key.ended), "the key is not in force");
}

const bodyIsNamed = ({ header, body }) => body.length === header.body_length && sha256Hex(body) === header.body;

/** What a broker with an empty store answers: section 3.1. */
export function submit(data, registry, now) {
  must(data.length <= MESSAGE_MAX, "too-large", "a message too large");
  const message = orElse("malformed", () => read(data));
  const { header, note, body } = message;
  must(note.origin === registry.origin, "wrong-exchange", "another exchange");
  must(header.body_length <= BODY_MAX, "too-large", "a body too large");
  orElse("unverified", () => checkSignature(message, registry, registry.newest));
  must(now < header.expires, "expired", "expired");
  must(header.sent < header.expires && header.expires - header.sent <= 30 * DAY, "malformed", "it lives too long");
  must(header.sent <= now + 30 * SECOND, "sent-in-the-future", "ahead");
  must(header.sent >= now - 72 * HOUR, "too-old", "old");
  const sender = registry.point(header.from);
  must(sender.status === "active", "suspended", "the sender");
  orElse("directory-expired", () => registry.requireCurrent(now));
  must(header.attachments.length === 0, "attachments-not-accepted", "attachments");
  checkDirectory(header.directory, registry, now);
  const { routes, bilateral } = registry.newest.value;
  must(
    [...routes, ...bilateral].some(({ type }) => type === header.type),
    "unknown-type",
    "no route carries it",
  );
  const allows = (point) =>
    header.type.startsWith("x-")
      ? registry.agreed(header.type, [header.from, point.id]) !== undefined
      : routes.some(
          ({ type, ...areas }) =>
            type === header.type && areas.sender === sender.area && areas.recipient === point.area,
        );
  const schemas = new Set();
  for (const [id, keyId] of Object.entries(header.to)) {
    const point = registry.point(id);
    must(point !== undefined && point.status !== "withdrawn", "unknown-recipient", id);
    must(point.status === "active", "suspended", id);
    must(allows(point), "route-not-allowed", id);
    schemas.add(registry.agreed(header.type, [header.from, id]));
    must(schemas.size === 1, "route-not-allowed", "another schema than the others");
    const receives = ({ status, ended }) => status === "active" || (status === "retired" && now < ended + 7 * DAY);
    must(
      point.seal.some((key) => receives(key) && sealKeyId(key) === keyId),
      "keys-mismatch",
      id,
    );
  }
  must(bodyIsNamed(message), "body-mismatch", "another body");
  orElse("body-shape", () => shape(body, Object.keys(header.to).length));
}

function checkDirectory([number, digest], registry, now) {
  must(number <= registry.newest.value.version, "unknown-directory", "a higher version");
  const named = registry.versions[number - 1];
  must(named !== undefined && named.digest === digest, "stale-directory", "another digest");
  const successor = registry.versions[number];
  must(successor === undefined || now < successor.value.issued + 7 * DAY, "stale-directory", "superseded");
}

const sealKeyId = ({ key }) => sha256Hex(Buffer.from(key, "base64"));

/** What a recipient with an empty inbox does: section 2. The document comes out. */
export function receive(data, registry, { me, sealKey, now, documents }) {
  const message = orElse("unverifiable", () => read(data));
  const { header, note, body } = message;
  must(note.origin === registry.origin, "unverifiable", "another exchange");
  const [number, digest] = header.directory;
  must(number <= registry.newest.value.version, "local-fault", "a version that the broker does not show");
  const named = registry.versions[number - 1];
  must(named !== undefined && named.digest === digest, "unverifiable", "another directory");
  for (const version of new Set([named, registry.newest])) {
    orElse("unverifiable", () => checkSignature(message, registry, version));
  }
  must(bodyIsNamed(message), "unverifiable", "another body");
  const keyId = header.to[me];
  must(keyId !== undefined, "not-for-us", "not in `to`");
  const mine = [named, registry.newest].flatMap((version) => registry.point(me, version)?.seal ?? []);
  must(
    mine.some((key) => sealKeyId(key) === keyId),
    "not-for-us",
    "a key of somebody else",
  );
  must(now < header.expires, "local-fault", "expired");
  const key = sealKey ? new SealKey(sealKey) : null;
  must(key !== null && key.id === keyId, "local-fault", "the private key is not here");
  const recipients = Object.keys(header.to);
  const document = orElse("cannot-open", () =>
    inside(unseal(body, recipients.length, recipients.indexOf(me), key), header),
  );
  if (header.type.startsWith("x-")) {
    const schema = registry.agreed(header.type, [header.from, me], named);
    must(schema === undefined, "local-fault", "the file of the agreed schema is not here");
  }
  const check = documents(header.type);
  must(check !== undefined, "unknown-type", "a type that is not known here");
  orElse("schema", () => require(check(parse(document)), "the rules of the type"));
  return document.toString();
}

/** The third line of what was sealed, after the first two and the padding were looked at. */
function inside(plaintext, header) {
  let end = plaintext.length;
  while (end > 0 && plaintext[end - 1] === 0x20) end--;
  require(end > 0 && plaintext.length === padme(end), "not the padding of its length");
  const lines = [];
  for (let at = 0; at <= end;) {
    const stop = plaintext.subarray(0, end).indexOf(0x0a, at);
    lines.push(plaintext.subarray(at, stop < 0 ? end : stop));
    at = stop < 0 ? end + 1 : stop + 1;
  }
  require(lines.length === 3, "not three lines");
  require(lines[1].equals(Buffer.from(WARNING)), "another second line");
  const inner = decode(lines[0], kinds.message);
  const expected = { ...header, body: null, body_length: 0 };
  require(JSON.stringify(inner) === JSON.stringify(expected), "sealed under another note");
  return lines[2];
}

function padme(length) {
  if (length < 2) return length;
  const e = Math.floor(Math.log2(length));
  const s = Math.floor(Math.log2(e)) + 1;
  const m = 2 ** (e - s) - 1;
  return Math.ceil(length / (m + 1)) * (m + 1);
}

/** Refuse what does not speak of the message with this note. */
function requireSubject(value, note, header) {
  const expected = {
    id: header.id,
    message: note.digest,
    note: sha256Hex(note.raw),
    body: header.body,
    body_length: header.body_length,
    from: header.from,
  };
  require(kinds.subjectNames.every((name) => value[name] === expected[name]), "it speaks of another message");
}

function sentNote(raw, registry) {
  const note = lone(raw, MESSAGE, registry.origin);
  return { note, header: decode(note.json, kinds.message) };
}

/** Refuse `data` if it is not the SubmissionAcceptance of the message with this note: sections 2, 5.1, 5.2. */
export function acceptance(data, noteRaw, registry) {
  const { note, header } = sentNote(noteRaw, registry);
  const found = lone(data, "valija/evidence/v1", registry.origin);
  signer(found, registry.evidenceKeys());
  const value = decode(found.json, kinds.evidence);
  require(value.event === "SubmissionAcceptance", "another event");
  requireSubject(value, note, header);
  require(value.to.join() === Object.keys(header.to).join(), "other recipients");
  require(value.time >= header.sent - 30 * SECOND &&
    value.time < header.expires, "a date that contradicts the message");
}

/** Refuse `data` if it is not a receipt for the message with this note: sections 1.4 and 5.1. */
export function receipt(data, noteRaw, registry) {
  const { note, header } = sentNote(noteRaw, registry);
  const found = lone(data, "valija/receipt/v1", registry.origin);
  const value = decode(found.json, kinds.receipt);
  require(value.recipient in header.to, "no recipient of this message");
  const point = registry.point(value.recipient) ?? refuse("not in the directory");
  const key = signer(
    found,
    point.sign.map((one) => ({ ...one, name: `${registry.origin}/${value.recipient}` })),
  );
  requireInForce(key, value.time);
  requireSubject(value, note, header);
}
