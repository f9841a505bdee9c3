// Leaves, checkpoints, proofs: SPEC.md section 5.3; C2SP tlog-checkpoint, tlog-cosignature, tlog-proof; RFC 9162.
import { createHmac } from "node:crypto";
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";
import { require } from "./form.mjs";
import { holds, keyId, sha256, signatureLines } from "./note.mjs";

const SIZE = /^(0|[1-9][0-9]{0,18})$/;
const SIZE_MAX = 2n ** 63n - 1n;
const HEX = /^([0-9a-f]{2})*$/;
const FIRST_LINE = "c2sp.org/tlog-proof@v1";
const PATH_MAX = 63;

export function eventLeaf(salt, event) {
  const key = Buffer.from(salt, "hex");
  require(key.length === 32, "a salt has 32 bytes");
  return `01${createHmac("sha256", key).update(event).digest("hex")}`;
}

export function directoryLeaf(digest) {
  require(/^[0-9a-f]{64}$/.test(digest), "no digest");
  return `02${digest}`;
}

function size(text) {
  require(SIZE.test(text) && BigInt(text) <= SIZE_MAX, "no size");
  return BigInt(text);
}

function hash(text) {
  const bytes = Buffer.from(text, "base64");
  require(bytes.length === 32 && bytes.toString("base64") === text, "no hash");
  return bytes;
}

const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};
const opaque = (text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);

/** A checkpoint that the log signed with both keys of the newest root; `complete`: whether its quorum saw it. */
export function checkpoint(data, { origin, root }) {
  const lines = data.toString("latin1").split("\n", 4);
  require(lines.length === 4 && lines[3] === "", "not three lines and an empty one");
  const text = data.subarray(0, lines.slice(0, 3).join("\n").length + 1);
  const [signatures, end] = signatureLines(data, text.length + 1);
  require(end === data.length && signatures.length > 0, "something else than signature lines");
  const name = `${origin}/log`;
  require(lines[0] === name, "another log");
  const head = { size: size(lines[1]), root: hash(lines[2]) };
  require(head.size > 0n || head.root.equals(sha256(Buffer.alloc(0))), "an empty tree with a root");
  const { broker, witnesses, quorum } = root.value;
  const log = { name, id: keyId(name, Buffer.from(broker.log, "hex")) };
  const mlDsaKey = Buffer.from(broker.log_ml_dsa, "hex");
  const mlDsa = { name, id: keyId(name, mlDsaKey, Buffer.from([6])) };
  const seen = new Set();
  const by = { log: false, mlDsa: false };
  for (const line of signatures) {
    const is = (one) => line.name === one.name && line.keyId === one.id;
    if (is(log)) {
      require((by.log = holds(broker.log, line.value, text)), "the log's signature");
    } else if (is(mlDsa)) {
      const message = Buffer.concat([
        Buffer.from("subtree/v1\n\0"),
        opaque(name),
        line.value.subarray(0, 8),
        opaque(lines[0]),
        u64(0n),
        u64(head.size),
        head.root,
      ]);
      const value = line.value.subarray(8);
      by.mlDsa =
        value.length === 2_420 &&
        ml_dsa44.verify(new Uint8Array(value), new Uint8Array(message), new Uint8Array(mlDsaKey));
      require(by.mlDsa, "the log's ML-DSA-44 cosignature");
    } else {
      for (const witness of witnesses) {
        if (!is({ name: witness.name, id: keyId(witness.name, Buffer.from(witness.key, "hex"), Buffer.from([4])) }))
          continue;
        const time = line.value.readBigUInt64BE(0);
        const message = Buffer.concat([Buffer.from(`cosignature/v1\ntime ${time}\n`), text]);
        require(time > 0n && holds(witness.key, line.value.subarray(8), message), "a witness's cosignature");
        seen.add(witness.key);
      }
    }
  }
  require(by.log && by.mlDsa, "not signed by both keys of the log");
  return { ...head, complete: seen.size >= quorum };
}

/** The checkpoint by which a proof shows that `leaf` (hex) is in the log. */
export function proof(data, leaf, registry) {
  require(HEX.test(leaf) && /^0[12]/.test(leaf) && leaf.length === 66, "no leaf");
  const cut = data.indexOf("\n\n");
  require(cut >= 0, "no checkpoint");
  const [first, ...lines] = data.toString("latin1", 0, cut).split("\n");
  require(first === FIRST_LINE, "no proof");
  if (lines[0]?.startsWith("extra ")) {
    const extra = lines.shift().slice("extra ".length);
    require(extra !== "" && Buffer.from(extra, "base64").toString("base64") === extra, "the extra line");
  }
  require(lines[0]?.startsWith("index ") && lines.length - 1 <= PATH_MAX, "no index");
  const index = size(lines[0].slice("index ".length));
  const path = lines.slice(1).map(hash);
  const found = checkpoint(data.subarray(cut + 2), registry);
  require(index < found.size, "beyond the tree");
  require(rootOf(Buffer.from(leaf, "hex"), index, found.size, path).equals(found.root), "another root");
  return found;
}

/** RFC 9162 section 2.1.3.2 */
function rootOf(leaf, index, count, path) {
  const node = (left, right) => sha256(Buffer.concat([Buffer.from([1]), left, right]));
  let [fn, sn, r] = [index, count - 1n, sha256(Buffer.concat([Buffer.from([0]), leaf]))];
  for (const p of path) {
    require(sn !== 0n, "a path too long");
    if (fn & 1n || fn === sn) {
      r = node(p, r);
      while (!(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else r = node(r, p);
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  require(sn === 0n, "a path too short");
  return r;
}
