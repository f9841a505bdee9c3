// The seal: its shape, and how it is opened by one who has a key. SPEC.md section 1.7; C2SP age; RFC 9180.
import {
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  timingSafeEqual,
} from "node:crypto";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { bech32 } from "@scure/base";
import { refuse, require } from "./form.mjs";
import { AGE, sha256Hex, startsWith } from "./note.mjs";

const HEADER_MAX = 131_072;
const LF = 0x0a;
const BASE64 = /^[A-Za-z0-9+/]*$/;
const NOTHING = Buffer.alloc(0);

const hmac = (key, ...parts) => parts.reduce((mac, part) => mac.update(part), createHmac("sha256", key)).digest();
/** HKDF-SHA256 (RFC 5869) of at most 32 bytes. */
const hkdf = (key, salt, info) => hmac(hmac(salt.length ? salt : Buffer.alloc(32), key), info, Buffer.from([1]));

function unpadded(text) {
  const bytes = Buffer.from(text, "base64");
  require(BASE64.test(text) && bytes.toString("base64").replaceAll("=", "") === text, "not base64 in its one spelling");
  return bytes;
}

/** The stanzas, the MAC and the payload of a body with exactly `recipients` stanzas of the one kind. */
export function shape(body, recipients) {
  require(startsWith(body, AGE), "no age file");
  const stanzas = [];
  let at = AGE.length;
  const next = () => {
    const end = body.subarray(0, HEADER_MAX).indexOf(LF, at);
    require(end >= 0, "the header does not end, or is too long");
    const text = body.toString("latin1", at, end);
    at = end + 1;
    return text;
  };
  let text = next();
  while (!text.startsWith("---")) {
    require(stanzas.length < recipients, "too many stanzas");
    const [arrow, kind, enc, ...more] = text.split(" ");
    require(arrow === "->" &&
      kind === "mlkem768x25519" &&
      enc !== undefined &&
      more.length === 0, "another kind of stanza");
    const stanza = { enc: unpadded(enc), wrapped: unpadded(next()) };
    require(stanza.enc.length === 1_120 && stanza.wrapped.length === 32, "sizes of a stanza");
    stanzas.push(stanza);
    text = next();
  }
  require(text.startsWith("--- "), "no MAC");
  const mac = unpadded(text.slice(4));
  require(mac.length === 32 && stanzas.length === recipients, "the size of the MAC, or too few stanzas");
  const payload = body.subarray(at);
  require(payload.length >= 32, "a payload without nonce and tag");
  return { stanzas, mac, covered: body.subarray(0, at - text.length - 1 + "---".length), payload };
}

/** A private seal key, from its text. */
export class SealKey {
  constructor(text) {
    const { prefix, words } = bech32.decode(text.toLowerCase(), false);
    require(prefix === "age-secret-key-pq-", "not a seal key");
    const seed = Buffer.from(bech32.fromWords(words));
    const expanded = createHash("shake256", { outputLength: 96 }).update(seed).digest();
    const { publicKey, secretKey } = ml_kem768.keygen(new Uint8Array(expanded.subarray(0, 64)));
    this.mlKem = secretKey;
    // RFC 8410: what stands before the 32 bytes of an X25519 private key, and of a public one.
    const der = Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), expanded.subarray(64)]);
    this.x25519 = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    this.x25519Public = createPublicKey(this.x25519).export({ format: "der", type: "spki" }).subarray(-32);
    this.public = Buffer.concat([publicKey, this.x25519Public]);
    this.id = sha256Hex(this.public);
  }

  /** The shared secret of MLKEM768-X25519 (KEM 0x647A): X-Wing's combiner over both halves. */
  decapsulate(enc) {
    const share = enc.subarray(-32);
    const der = Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), share]);
    const theirs = createPublicKey({ key: der, format: "der", type: "spki" });
    const first = ml_kem768.decapsulate(new Uint8Array(enc.subarray(0, -32)), this.mlKem);
    const second = diffieHellman({ privateKey: this.x25519, publicKey: theirs }); // throws where it is all zeros
    const label = Buffer.from("5c2e2f2f5e5c", "hex");
    const hash = createHash("sha3-256");
    [first, second, share, this.x25519Public, label].forEach((part) => hash.update(part));
    return hash.digest();
  }
}

const SUITE = Buffer.from("48504b45" + "647a" + "0001" + "0003", "hex");
const INFO = Buffer.from("age-encryption.org/mlkem768x25519");
const VERSION = Buffer.from("HPKE-v1");

const labeledExtract = (salt, label, key) =>
  hmac(salt.length ? salt : Buffer.alloc(32), VERSION, SUITE, Buffer.from(label), key);
const labeledExpand = (secret, label, context, length) =>
  hmac(secret, Buffer.from([0, length]), VERSION, SUITE, Buffer.from(label), context, Buffer.from([1])).subarray(
    0,
    length,
  );

/** The file key in a stanza: HPKE base mode, RFC 9180 sections 5.1 and 5.2. */
function fileKey(stanza, key) {
  const context = Buffer.concat([
    Buffer.from([0]),
    labeledExtract(NOTHING, "psk_id_hash", NOTHING),
    labeledExtract(NOTHING, "info_hash", INFO),
  ]);
  const secret = labeledExtract(key.decapsulate(stanza.enc), "secret", NOTHING);
  return open(
    labeledExpand(secret, "key", context, 32),
    labeledExpand(secret, "base_nonce", context, 12),
    stanza.wrapped,
  );
}

function open(key, nonce, sealed) {
  const cipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  cipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
}

/** What is sealed in `body`, by the stanza at `position` and no other. */
export function unseal(body, recipients, position, key) {
  const { stanzas, mac, covered, payload } = shape(body, recipients);
  try {
    const file = fileKey(stanzas[position], key);
    require(timingSafeEqual(hmac(hkdf(file, NOTHING, "header"), covered), mac), "the MAC");
    return chunks(hkdf(file, payload.subarray(0, 16), "payload"), payload.subarray(16));
  } catch (error) {
    refuse(`it does not open: ${error.message}`);
  }
}

function chunks(key, sealed) {
  const size = 65_536 + 16;
  const found = [];
  for (let at = 0, n = 0; ; at += size, n++) {
    const last = at + size >= sealed.length;
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(n, 7);
    nonce[11] = last ? 1 : 0;
    const chunk = open(key, nonce, sealed.subarray(at, at + size));
    require(chunk.length > 0 || n === 0, "an empty last chunk");
    found.push(chunk);
    if (last) return Buffer.concat(found);
  }
}
