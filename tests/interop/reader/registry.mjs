// Roots, directory versions, freshness: SPEC.md section 4.
import { decode, inOrder, refuse, require } from "./form.mjs";
import * as kinds from "./kinds.mjs";
import { DIRECTORY_MAX, lone, signer, signers } from "./note.mjs";

const DAY = 86_400_000;
const ROOT = "valija/root/v1";
const DIRECTORY = "valija/directory/v1";
const RESERVED = ["broker", "log", "officer", "witness", "operator"];
export const isReserved = (id) => RESERVED.includes(id.split(".")[0]);
const distinct = (values) => new Set(values).size === values.length;

/** What a client holds: roots and directory versions, each verified by those before. */
export class Registry {
  constructor(origin, anchor, held = []) {
    this.origin = origin;
    this.anchor = anchor;
    this.roots = [];
    this.versions = [];
    held.forEach((raw) => this.offer(raw));
  }

  get root() {
    return this.roots.at(-1) ?? refuse("no root is held");
  }

  get newest() {
    return this.versions.at(-1) ?? refuse("no directory is held");
  }

  /** Take a root or a directory version, or refuse it. */
  offer(raw) {
    if (raw.toString("latin1").startsWith(`${ROOT} `)) this.#root(raw);
    else this.#directory(raw);
  }

  /** Refuse unless something may be sent under what is held: 4.5 rule 4, without the freshness note. */
  requireCurrent(now) {
    require(now < this.root.value.expires, "the root has expired");
    require(now < this.newest.value.expires, "the directory has expired");
    require(this.#backed(this.newest), "the newest officers do not stand behind the directory");
  }

  /** Refuse unless `raw`, a freshness note, lets something be sent. */
  requireFresh(raw, now) {
    const note = lone(raw, "valija/freshness/v1", this.origin);
    signer(note, [{ name: `${this.origin}/broker`, key: this.root.value.broker.freshness }]);
    const fresh = decode(note.json, kinds.freshness);
    require(fresh.expires - fresh.issued <= DAY && now < fresh.expires, "not fresh, or for too long");
    const named = fresh.root === this.root.value.version && fresh.version === this.newest.value.version;
    require(named && fresh.digest === this.newest.digest, "it names something else than what is held");
    this.requireCurrent(now);
  }

  point(id, version = this.newest) {
    return version.value.contact_points.find((one) => one.id === id);
  }

  /** The schema of a bilateral type between two contact points. */
  agreed(type, ids, version = this.newest) {
    const pair = ids.sort().join(" ");
    return version.value.bilateral.find((one) => one.type === type && one.between.join(" ") === pair)?.schema;
  }

  evidenceKeys() {
    return this.root.value.broker.evidence.map((key) => ({ name: `${this.origin}/broker`, key }));
  }

  #root(raw) {
    const note = lone(raw, ROOT, this.origin, DIRECTORY_MAX);
    const held = { note, digest: note.digest, value: decode(note.json, kinds.root) };
    checkRoot(held.value);
    if (this.roots.length === 0) {
      require(held.digest === this.anchor && held.value.version === 1, "not the root that was compared");
    } else {
      if (this.roots.some((one) => one.digest === held.digest)) return;
      require(held.value.version === this.root.value.version + 1, "not the next root");
      this.#threshold(note, this.root);
    }
    this.#threshold(note, held);
    this.roots.push(held);
  }

  #directory(raw) {
    const note = lone(raw, DIRECTORY, this.origin, DIRECTORY_MAX);
    const held = { note, digest: note.digest, value: decode(note.json, kinds.directory) };
    const { version } = held.value;
    require(version <= this.versions.length + 1, "a version is skipped");
    const place = this.versions[version - 1];
    if (place !== undefined) {
      if (version === this.versions.length && place.digest === held.digest) return;
      // Rule 5: the last versions that the newest officers do not stand behind may give way to one that they signed.
      let kept = this.versions.length;
      while (kept > 0 && !this.#backed(this.versions[kept - 1])) kept--;
      require(version > kept && this.#backed(held), "an older version, or another of the same number");
    }
    this.#checkStep(held, this.versions[version - 2]);
    this.versions.splice(version - 1, Infinity, held);
  }

  #checkStep({ note, value }, before) {
    require(value.previous === (before?.digest ?? null), "it does not follow from the version before");
    require(before === undefined || value.root >= before.value.root, "it goes back to an older root");
    checkDirectory(value);
    this.#threshold(note, this.roots[value.root - 1] ?? refuse("its root is not known"));
  }

  #threshold(note, { value: root }) {
    const may = root.officers.map((officer) => ({ name: `${this.origin}/${officer.id}`, key: officer.key, officer }));
    const signed = signers(note, may);
    const organisations = new Set(signed.map(({ officer }) => officer.organisation));
    require(signed.length >= root.threshold.keys, "too few officers");
    require(organisations.size >= root.threshold.organisations, "too few organisations");
  }

  #backed(held) {
    try {
      this.#threshold(held.note, this.root);
      return true;
    } catch {
      return false;
    }
  }
}

function checkRoot(root) {
  const { officers, operators, broker, witnesses, threshold } = root;
  require(root.issued < root.expires && root.expires - root.issued <= 730 * DAY, "times of the root");
  require(officers.every(({ id }) => id.startsWith("officer.")), "an officer's id");
  require(operators.every(({ id }) => id.startsWith("operator.")), "an operator's id");
  for (const { roles } of operators) {
    require(inOrder(roles.map((role) => kinds.ROLES.indexOf(role))), "roles not in order");
  }
  require(distinct(officers.map(({ id }) => id)), "an officer twice");
  const uses = [
    ...broker.evidence,
    broker.freshness,
    broker.log,
    ...[...officers, ...operators, ...witnesses].map(({ key }) => key),
  ];
  require(distinct(uses), "one key for two uses");
  require(threshold.keys <= officers.length, "a threshold that cannot be met");
  require(threshold.organisations <=
    new Set(officers.map(({ organisation }) => organisation)).size, "a threshold that cannot be met");
  require(root.quorum <= witnesses.length, "a quorum that cannot be met");
}

function checkDirectory(directory) {
  require(directory.issued < directory.expires &&
    directory.expires - directory.issued <= 30 * DAY, "times of the directory");
  require(inOrder(directory.contact_points.map(({ id }) => id)), "entries not in order");
  // A space sorts before every character of a type name or an area.
  require(inOrder(
    directory.routes.map(({ type, sender, recipient }) => `${type} ${sender} ${recipient}`),
  ), "routes not in order");
  require(!directory.routes.some(({ type }) => type.startsWith("x-")), "a route of a bilateral type");
  require(
    inOrder(directory.treaties.map(({ state, instrument }) => `${state} ${instrument}`)),
    "treaties not in order",
  );
  require(directory.treaties.every(({ party, since }) => party || since === null), "no party, and since a day");
  require(
    inOrder(directory.bilateral.map(({ type, between }) => `${type} ${between.join(" ")}`)),
    "bilateral types not in order",
  );
  const ids = new Set(directory.contact_points.map(({ id }) => id));
  for (const { between } of directory.bilateral) {
    require(inOrder(between) && between.every((id) => ids.has(id)), "a bilateral type between others than two entries");
  }
  const keys = [];
  for (const point of directory.contact_points) {
    require(!isReserved(point.id), "a reserved name");
    require((point.state === null) !== (point.organisation === null), "a State and an organisation, or neither");
    for (const key of [...point.sign, ...point.seal, ...point.auth]) {
      require((key.status === "active") === (key.ended === null), "a key that ended without a time, or not");
      keys.push(key.key);
    }
  }
  require(distinct(keys), "a key twice");
}
