// Signed requests: SPEC.md section 3.2.
import { require } from "./form.mjs";
import { holds, sha256, sha256Hex } from "./note.mjs";

const SKEW = 30_000;
const COVERED = '("@method" "@authority" "@path" "@query" "content-type" "content-digest")';
const INPUT = new RegExp(
  `^sig1=(${COVERED.replace(/[()]/g, "\\$&")};created=([0-9]+);expires=([0-9]+);nonce="([A-Za-z0-9_-]{22,64})"` +
    ';keyid="([0-9a-f]{64})";alg="ed25519";tag="valija-v1")$',
);
const FIELDS = ["host", "content-type", "content-digest", "signature-input", "signature"];
// RFC 3986 sections 3.3 and 3.4
const TARGET =
  /^(\/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)(\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})+)?$/;

/** The signature base of a request whose lines are ended by LF, if it is signed with `key` (hex) for now. */
export function signed(request, body, { authorities, key, now }) {
  const [first, ...lines] = request.toString("latin1").replace(/\n+$/, "").split("\n");
  const [method, target] = first.split(" ");
  const fields = new Map();
  for (const line of lines) {
    const [name, value] = [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()];
    require(name !== "content-encoding", "a content encoding");
    require(!(FIELDS.includes(name) && fields.has(name)), "a field twice");
    fields.set(name, value);
  }
  const [host, type, digest, input, signature] = FIELDS.map((name) => {
    require(fields.has(name), `no ${name}`);
    return fields.get(name);
  });
  const [, path, query] = TARGET.exec(target) ?? [];
  require(path !== undefined && target.length <= 2_048, "the target");
  require(!path
    .split("/")
    .slice(1)
    .some((part, at, all) => part === "." || part === ".." || (part === "" && at < all.length - 1)), "a segment");
  require(authorities.includes(host), "another host");
  const [, parameters, created, expires, , keyid] = INPUT.exec(input) ?? [];
  require(parameters !== undefined, "not the one form");
  const [from, until] = [Number(created) * 1_000, Number(expires) * 1_000];
  require(until - from >= 1_000 && until - from <= 60_000, "not for 1 to 60 seconds");
  require(from <= now + SKEW && now <= until + SKEW, "not for now");
  const [, base64] = /^sig1=:([A-Za-z0-9+/]{86}==):$/.exec(signature) ?? [];
  require(base64 !== undefined, "no signature");
  const value = Buffer.from(base64, "base64");
  require(value.toString("base64") === base64, "base64 in another spelling");
  require(/^sha-256=:[A-Za-z0-9+/]{43}=:$/.test(digest), "no digest");
  require(keyid === sha256Hex(Buffer.from(key, "hex")), "another key");
  const values = {
    "@method": method,
    "@authority": host,
    "@path": path,
    "@query": query ?? "?",
    "content-type": type,
    "content-digest": digest,
  };
  const base = [...Object.entries(values), ["@signature-params", parameters]]
    .map(([name, text]) => `"${name}": ${text}`)
    .join("\n");
  require(holds(key, value, Buffer.from(base)), "the signature does not hold");
  require(digest === `sha-256=:${sha256(body).toString("base64")}:`, "another body");
  return base;
}
