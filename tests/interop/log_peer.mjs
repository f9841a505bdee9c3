// Two other readings of RFC 6962 and RFC 9162: sigstore's verifier, which npm itself runs, and Transmute's walk through
// RFC 9162. Reads a JSON list of jobs, prints a JSON list of answers; bytes are base64.
//
//   {"do": "logged", "leaf", "index", "path", "checkpoint", "key", "key_id", "name"} -> {} or {"refused"}
//   {"do": "root", "leaves"}                                                         -> {"root"}
//   {"do": "inclusion", "leaf", "index", "size", "path", "root"}                     -> {} or {"refused"}
//   {"do": "consistency", "old_size", "old_root", "new_size", "new_root", "path"}    -> {} or {"refused"}
//   {"do": "prove", "leaves", "index", "old_size"}                                   -> {"inclusion", "consistency"}
import { createPublicKey } from "node:crypto";
import { text } from "node:stream/consumers";
// Not among what the package exports by name: it is the step of its verifier that takes a checkpoint and a proof.
import { verifyTLogInclusion } from "@sigstore/verify/dist/tlog/index.js";
import transmute from "@transmute/rfc9162";

const RFC9162 = transmute.default ?? transmute;
const bytes = (encoded) => new Uint8Array(Buffer.from(encoded, "base64"));
const buffer = (encoded) => Buffer.from(encoded, "base64");
const encoded = (value) => Buffer.from(value).toString("base64");
const powerOfTwo = (size) => Number.isInteger(Math.log2(size));

async function verdict(check) {
  try {
    return (await check()) === false ? { refused: "false" } : {};
  } catch (error) {
    return { refused: String(error) };
  }
}

const work = {
  async logged({ leaf, index, path, checkpoint, key, key_id, name }) {
    const entry = {
      canonicalizedBody: buffer(leaf),
      inclusionProof: {
        logIndex: String(index),
        hashes: path.map(buffer),
        checkpoint: { envelope: buffer(checkpoint).toString() },
      },
    };
    const publicKey = createPublicKey({ key: buffer(key), format: "der", type: "spki" });
    const log = { logID: buffer(key_id), baseURL: `https://${name}`, publicKey, validFor: {} };
    return verdict(() => verifyTLogInclusion(entry, [log]));
  },
  async root({ leaves }) {
    return { root: encoded(await RFC9162.treeHead(leaves.map(bytes))) };
  },
  async inclusion({ leaf, index, size, path, root }) {
    const proof = { log_id: "", tree_size: size, leaf_index: index, inclusion_path: path.map(bytes) };
    return verdict(async () => RFC9162.verifyInclusionProof(bytes(root), await RFC9162.leaf(bytes(leaf)), proof));
  },
  async consistency({ old_size, old_root, new_size, new_root, path }) {
    // It leaves out step 2 of RFC 9162 section 2.1.4.2: where the old size is a power of two, the old root goes first.
    const whole = powerOfTwo(old_size) ? [old_root, ...path] : path;
    const proof = { log_id: "", tree_size_1: old_size, tree_size_2: new_size, consistency_path: whole.map(bytes) };
    return verdict(() => RFC9162.verifyConsistencyProof(bytes(old_root), bytes(new_root), proof));
  },
  async prove({ leaves, index, old_size }) {
    const all = leaves.map(bytes);
    const { inclusion_path } = await RFC9162.inclusionProof(all[index], all);
    const { consistency_path } = await RFC9162.consistencyProof({ log_id: "", tree_size: old_size }, all);
    const consistency = powerOfTwo(old_size) ? consistency_path.slice(1) : consistency_path;
    return { inclusion: inclusion_path.map(encoded), consistency: consistency.map(encoded) };
  },
};

const answers = [];
for (const job of JSON.parse(await text(process.stdin))) answers.push(await work[job.do](job));
process.stdout.write(JSON.stringify(answers));
