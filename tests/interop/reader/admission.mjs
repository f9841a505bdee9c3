// Who may enter the directory, and with which keys: SPEC.md sections 1.6 and 4.4.
import { createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import * as f from "./form.mjs";
import { request as fields } from "./kinds.mjs";
import { keyId, lone, sha256Hex, signers } from "./note.mjs";
import { isReserved } from "./registry.mjs";
import { SealKey, unseal } from "./seal.mjs";

const PRIME = 2n ** 255n - 19n;
const SCALAR = Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), Buffer.alloc(32, 0x42)]);

/** Refuse an Ed25519 key in hex that may not be registered. */
export function ed25519Key(hex) {
  f.require(/^[0-9a-f]{64}$/.test(hex), "a key has 32 bytes");
  let point;
  try {
    point = ed25519.Point.fromHex(hex, false);
  } catch (error) {
    f.refuse(error.message);
  }
  f.require(!point.isSmallOrder() && point.isTorsionFree(), "of small or mixed order");
}

/** The id of a seal key that may be registered. */
export function sealKey(bytes) {
  f.require(bytes.length === 1_216, "a seal key has 1,216 bytes");
  // FIPS 203 section 7.2: two coefficients of 12 bits in three bytes, each below 3,329. The library does not look.
  for (let at = 0; at < 1_152; at += 3) {
    const pair = bytes.readUIntLE(at, 3);
    f.require((pair & 0xfff) < 3_329 && pair >> 12 < 3_329, "a coefficient out of range");
  }
  const half = bytes.subarray(-32);
  f.require(BigInt(`0x${Buffer.from(half).reverse().toString("hex")}`) < PRIME, "not the one encoding");
  try {
    const der = Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), half]);
    const theirs = createPublicKey({ key: der, format: "der", type: "spki" });
    const ours = createPrivateKey({ key: SCALAR, format: "der", type: "pkcs8" });
    diffieHellman({ privateKey: ours, publicKey: theirs }); // throws where it is all zeros
    ml_kem768.encapsulate(new Uint8Array(bytes.subarray(0, -32)));
  } catch (error) {
    f.refuse(`nothing can be sealed to it: ${error.message}`);
  }
  return sha256Hex(bytes);
}

/** The answer to a challenge, in hex. */
export function challenge(data, text) {
  const answer = unseal(data, 1, 0, new SealKey(text));
  f.require(answer.length === 32, "not 32 bytes");
  return answer.toString("hex");
}

/** Refuse `data` if it may not be admitted after the requests `admitted`. */
export function request(data, admitted, registry) {
  const { origin } = registry;
  const before = admitted.map((raw) => read(raw, origin));
  const { value, digest } = read(data, origin);
  const who = value.contact_point;
  f.require(!isReserved(who), "a reserved name");
  f.require((value.state === null) !== (value.organisation === null), "a State and an organisation, or neither");
  ed25519Key(value.sign);
  ed25519Key(value.auth);
  sealKey(Buffer.from(value.seal, "base64"));
  checkSeen(value, before, registry);
  const last = before.filter((one) => one.value.contact_point === who).at(-1);
  if (last?.digest === digest) return;
  f.require(value.previous === (last?.digest ?? null), "it does not follow from the request before");
  f.require(last === undefined || value.time > last.value.time, "not later than the request before");
}

function read(raw, origin) {
  const note = lone(raw, "valija/request/v1", origin);
  const value = f.decode(note.json, fields);
  const name = `${origin}/${value.contact_point}`;
  const signed = signers(
    note,
    [value.sign, value.auth].map((key) => ({ name, key })),
  );
  f.require(signed.length === 2 && note.signatures.length === 2, "not signed by both keys");
  return { value, digest: note.digest };
}

/** Refuse keys that were seen elsewhere or that ended, and key ids that another key of the name had. */
function checkSeen(value, before, { origin, roots, versions }) {
  const seen = []; // [who, use, key, whether it ended]
  for (const { value: root } of roots) {
    for (const one of [...root.officers, ...root.operators]) seen.push([one.id, "root", one.key, false]);
    for (const one of root.witnesses) seen.push([one.name, "root", one.key, false]);
    for (const key of [...root.broker.evidence, root.broker.freshness, root.broker.log])
      seen.push(["broker", "root", key, false]);
  }
  const uses = ["sign", "seal", "auth"];
  for (const { value: version } of versions) {
    for (const point of version.contact_points) {
      for (const use of uses)
        for (const one of point[use]) seen.push([point.id, use, one.key, one.status !== "active"]);
    }
  }
  for (const { value: one } of before) for (const use of uses) seen.push([one.contact_point, use, one[use], false]);
  const who = value.contact_point;
  const id = (key) => keyId(`${origin}/${who}`, Buffer.from(key, "hex"));
  for (const use of uses) {
    for (const [owner, as, key, ended] of seen) {
      if (key === value[use]) f.require(owner === who && as === use && !ended, "a key that was seen before");
      else if (owner === who && use !== "seal" && as !== "seal")
        f.require(id(key) !== id(value[use]), "a key id that was seen before");
    }
  }
}
