// A second reader of the protocol, written from schemas/SPEC.md and the pages that it names. Every vector gets an outcome.
// Reads a JSON list of {"read", "inputs"} (schemas/vectors/README.md), inputs of type bytes in base64; prints a list of
// {"outcome", "output"?}.
import { readFileSync, readdirSync } from "node:fs";
import { text } from "node:stream/consumers";
import Ajv from "ajv/dist/2020.js";
import { challenge, ed25519Key, request, sealKey } from "./reader/admission.mjs";
import { decode, Refused, require } from "./reader/form.mjs";
import { signed } from "./reader/http.mjs";
import * as kinds from "./reader/kinds.mjs";
import { checkpoint, directoryLeaf, eventLeaf, proof } from "./reader/log.mjs";
import { acceptance, outcomeOf, read, receipt, receive, submit } from "./reader/message.mjs";
import { holds, lone, signer, signers, unsigned } from "./reader/note.mjs";
import { Registry } from "./reader/registry.mjs";
import { shape } from "./reader/seal.mjs";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const bytes = (base64) => Buffer.from(base64, "base64");
const registryOf = ({ origin, anchor, held }) => new Registry(origin, anchor, held.map(bytes));

const folder = new URL("../../schemas/json/", import.meta.url);
const schemas = readdirSync(folder).filter((name) => name.endsWith(".json"));
const ajv = new Ajv({ strict: false, validateFormats: false });
// information-request-1.json is the schema of information-request/1
const documents = new Map(
  schemas.map((name) => [
    name.replace(/-([0-9]+)\.json$/, "/$1"),
    ajv.compile(JSON.parse(readFileSync(new URL(name, folder), "utf-8"))),
  ]),
);

/** `accept`, or `refused` where the work refuses. */
function judged(work, refusal = "refused") {
  try {
    return { outcome: "accept", output: work() };
  } catch (error) {
    if (error instanceof Refused) return { outcome: refusal };
    throw error;
  }
}

/** The keys whose signatures count on orders and holds. */
const whoMayOrder = (origin, { operators }) =>
  operators
    .filter(({ roles }) => roles.includes("operator"))
    .map(({ id, key }) => ({ name: `${origin}/${id}`, key }));

/** As `judged`, for a work that gives a checkpoint. */
function witnessed(work) {
  const { outcome, output } = judged(work);
  return { outcome: outcome === "accept" && !output.complete ? "unwitnessed" : outcome };
}

const readers = {
  note: ({ origin, kind, data }) =>
    judged(() => {
      if (kind !== "valija/message/v1") return lone(bytes(data), kind, origin).digest;
      const { note } = read(bytes(data));
      require(note.origin === origin, "another exchange");
      return note.digest;
    }),
  erasure: ({ origin, data }) =>
    judged(() => void decode(unsigned(bytes(data), "valija/erasure/v1", origin), kinds.erasure)),
  event: ({ origin, data }) =>
    judged(() => {
      const value = decode(unsigned(bytes(data), "valija/evidence/v1", origin), kinds.evidence);
      require(!value.event.startsWith("Submission"), "an event that is signed stands unsigned");
    }),
  shape: ({ recipients, body }) => judged(() => void shape(bytes(body), recipients)),
  submit: (given) =>
    outcomeOf(() => submit(Buffer.concat([bytes(given.note), bytes(given.body)]), registryOf(given), given.now)),
  receive: (given) =>
    outcomeOf(() =>
      receive(Buffer.concat([bytes(given.note), bytes(given.body)]), registryOf(given), {
        me: given.me,
        sealKey: given.seal_key,
        now: given.now,
        documents: (type) => documents.get(type),
      }),
    ),
  acceptance: (given) => judged(() => acceptance(bytes(given.data), bytes(given.note), registryOf(given))),
  receipt: (given) => judged(() => receipt(bytes(given.data), bytes(given.note), registryOf(given))),
  chain: (given) => {
    const registry = registryOf(given);
    return judged(() => registry.offer(bytes(given.data)));
  },
  sending: (given) => {
    const registry = registryOf(given);
    return judged(() => registry.requireFresh(bytes(given.data), given.now));
  },
  order: (given) => {
    const { origin, root } = registryOf(given);
    return judged(() => {
      const note = lone(bytes(given.data), "valija/action/v1", origin);
      const value = decode(note.json, kinds.action);
      const may = whoMayOrder(origin, root.value);
      const signed = signers(note, may);
      require(signed.length === note.signatures.length, "a line of somebody else");
      require(signed.length >= kinds.operatorsOf(value.action), "too few operators");
      require(given.now < value.time + 72 * HOUR && value.time <= given.now + 30 * SECOND, "old, or ahead");
    });
  },
  hold: (given) => {
    const registry = registryOf(given);
    const { origin, root } = registry;
    const parse = (data) => {
      const note = lone(data, "valija/hold/v1", origin);
      return { note, digest: note.digest, ...decode(note.json, kinds.hold) };
    };
    return judged(() => {
      const { note, ...value } = parse(bytes(given.data));
      const may = whoMayOrder(origin, root.value);
      const signed = signers(note, may);
      require(signed.length === note.signatures.length && signed.length >= 2, "not two operators and nobody else");
      const newest = registry.versions.at(-1);
      const { contact_point: who } = value;
      require(newest.value.contact_points.some(({ id }) => id === who), "no contact point");
      const earlier = given.earlier.map((data) => parse(bytes(data))).filter((one) => one.contact_point === who);
      const isThere = earlier.some(({ digest }) => digest === value.digest);
      const isLifted = (digest) => earlier.some((one) => one.hold === digest);
      require(value.time <= given.now + 30 * SECOND, "ahead");
      if (value.action === "lift") {
        if (isThere) return;
        const of = earlier.find(({ digest, action }) => digest === value.hold && action === "hold");
        require(of !== undefined && !isLifted(value.hold) && given.now < of.until, "nothing to lift");
        return;
      }
      require(given.now < value.until && !isLifted(value.digest), "over, or lifted");
      if (isThere) return;
      require(value.directory[0] === newest.value.version && value.directory[1] === newest.digest, "another version");
      const versions = earlier.filter(({ action }) => action === "hold").map(({ directory }) => directory[0]);
      require(versions.every((version) => version < newest.value.version), "held under this version before");
    });
  },
  session: (given) => {
    const { origin, root } = registryOf(given);
    return judged(() => {
      const note = lone(bytes(given.data), "valija/session/v1", origin);
      const value = decode(note.json, kinds.session);
      const operator = root.value.operators.find(({ id }) => id === value.operator);
      require(operator !== undefined, "nobody whom the root names");
      signer(note, [{ name: `${origin}/${operator.id}`, key: operator.key }]);
      require(value.address === given.address && given.drawn.includes(value.challenge), "another console's");
      require(value.time >= given.now - 150 * SECOND && value.time <= given.now + 30 * SECOND, "old, or ahead");
    });
  },
  request: (given) => judged(() => request(bytes(given.data), given.admitted.map(bytes), registryOf(given))),
  "ed25519-key": ({ key }) => judged(() => ed25519Key(key)),
  "ed25519-signature": ({ key, signature, data }) =>
    judged(() => {
      ed25519Key(key);
      require(holds(key, Buffer.from(signature, "hex"), bytes(data)), "it does not hold");
    }),
  "seal-key": ({ data }) => judged(() => sealKey(bytes(data))),
  challenge: (given) => judged(() => challenge(bytes(given.data), given.seal_key)),
  "http-request": (given) => judged(() => signed(bytes(given.request), bytes(given.body), given), "not-signed"),
  "event-leaf": ({ salt, data }) => judged(() => eventLeaf(salt, bytes(data))),
  "directory-leaf": ({ digest }) => judged(() => directoryLeaf(digest)),
  checkpoint: (given) => witnessed(() => checkpoint(bytes(given.data), registryOf(given))),
  proof: (given) => witnessed(() => proof(bytes(given.data), given.leaf, registryOf(given))),
};

const vectors = JSON.parse(await text(process.stdin));
process.stdout.write(JSON.stringify(vectors.map(({ read: name, inputs }) => readers[name](inputs))));
