// The fields of every kind of note: SPEC.md sections 1.5, 4 and 5.
import * as f from "./form.mjs";

const EMPTY = {};
const NULL = f.nullOr;
const keys = (type) =>
  f.list(f.record({ key: type, status: f.oneOf("active", "retired", "revoked"), ended: NULL(f.time) }), 1, 64);
const area = f.oneOf("judicial", "non-judicial", "law-enforcement", "administrative", "political");
export const ROLES = ["observer", "operator", "registrar", "auditor"];
const TREATIES = [
  "untoc",
  "tip-protocol",
  "migrants-protocol",
  "firearms-protocol",
  "un-1988",
  "uncac",
  "cifta",
  "nassau-mla",
  "iacac",
  "terrorism-financing-1999",
  "iacat-2002",
];
const subject = {
  id: f.messageId,
  message: f.digest,
  note: f.digest,
  body: f.digest,
  body_length: f.number(),
  from: f.identifier,
};

export const message = f.record({
  id: f.messageId,
  from: f.identifier,
  to: f.map(f.identifier, f.digest, 1, 64),
  type: f.typeName,
  thread: f.messageId,
  in_reply_to: NULL(f.digest),
  sent: f.time,
  expires: f.time,
  priority: f.oneOf("flash", "urgent", "routine"),
  exercise: f.boolean,
  directory: f.reference,
  log: f.reference,
  body: NULL(f.digest),
  body_length: f.number(),
  attachments: f.list(f.tuple(f.digest, f.number()), 0, 32),
});

export const root = f.record({
  version: f.number(1),
  issued: f.time,
  expires: f.time,
  officers: f.list(f.record({ id: f.identifier, organisation: f.line(), key: f.key }), 1, 15),
  threshold: f.record({ keys: f.number(1), organisations: f.number(1) }),
  operators: f.list(
    f.record({ id: f.identifier, roles: f.list(f.oneOf(...ROLES), 1, 4), key: f.key }),
    0,
    64,
  ),
  broker: f.record({ evidence: f.list(f.key, 1, 32), freshness: f.key, log: f.key, log_ml_dsa: f.mlDsaKey }),
  witnesses: f.list(f.record({ name: f.line(), key: f.key }), 0, 16),
  quorum: f.number(),
});

export const directory = f.record({
  version: f.number(1),
  issued: f.time,
  expires: f.time,
  root: f.number(1),
  previous: NULL(f.digest),
  contact_points: f.list(
    f.record({
      id: f.identifier,
      state: NULL(f.state),
      organisation: NULL(f.line()),
      name: f.line(1, 200),
      area,
      status: f.oneOf("active", "suspended", "withdrawn"),
      sign: keys(f.key),
      seal: keys(f.sealKey),
      auth: keys(f.key),
    }),
  ),
  routes: f.list(f.record({ type: f.typeName, sender: area, recipient: area })),
  treaties: f.list(
    f.record({
      state: f.state,
      instrument: f.oneOf(...TREATIES),
      party: f.boolean,
      since: NULL(f.day),
      source: f.line(1, 300),
      read: f.day,
    }),
  ),
  bilateral: f.list(
    f.record({ type: f.bilateralName, between: f.tuple(f.identifier, f.identifier), schema: f.digest }),
  ),
});

export const request = f.record({
  contact_point: f.identifier,
  state: NULL(f.state),
  organisation: NULL(f.line()),
  name: f.line(1, 200),
  area,
  sign: f.key,
  seal: f.sealKey,
  auth: f.key,
  previous: NULL(f.digest),
  time: f.time,
});

export const freshness = f.record({
  version: f.number(),
  digest: f.digest,
  root: f.number(),
  issued: f.time,
  expires: f.time,
});

const BROKER_EVENTS = [
  "SubmissionAcceptance",
  "SubmissionRejection",
  "ContentHandover",
  "ContentHandoverFailure",
  "DeadLettered",
];
const evidenceFields = f.record({
  event: f.oneOf(...BROKER_EVENTS),
  ...subject,
  to: f.list(f.identifier, 1, 64),
  time: f.time,
  directory: f.reference,
  reason: NULL(f.line()),
});

export function evidence(value) {
  evidenceFields(value);
  const positive = ["SubmissionAcceptance", "ContentHandover"].includes(value.event);
  f.require(positive === (value.reason === null), "a reason where none belongs, or none where one does");
  f.require(f.inOrder(value.to), "recipients not in order");
  f.require(value.event.startsWith("Submission") || value.to.length === 1, "more than one recipient");
}

const receiptFields = f.record({
  event: f.oneOf("ConsignmentAcceptance", "ConsignmentRejection"),
  ...subject,
  recipient: f.identifier,
  time: f.time,
  directory: f.reference,
  log: f.reference,
  reason: NULL(f.line(0, 500)),
});

export function receipt(value) {
  receiptFields(value);
  f.require(
    (value.event === "ConsignmentAcceptance") === (value.reason === null),
    "a reason and no rejection, or the other way",
  );
}

/** The fields by which an event or receipt speaks of a message. */
export const subjectNames = Object.keys(subject);

const erasureFields = f.record({
  order: NULL(f.digest),
  leaves: f.list(f.tuple(f.number(), f.number(1)), 1, 400),
  time: f.time,
  reason: f.line(),
});

export function erasure(value) {
  erasureFields(value);
  value.leaves.forEach(([first], at) => {
    const before = at === 0 ? -1 : value.leaves[at - 1][0] + value.leaves[at - 1][1];
    f.require(first > before, "ranges that touch or do not ascend");
  });
}

/** What each action names, and how many operators it takes: section 5.4. */
const ACTIONS = {
  replay: { operators: 1, names: (m, p) => m && p },
  discard: { operators: 2, names: (m, p) => m && p },
  retain: { operators: 1, names: (m, p) => m !== p },
  release: { operators: 2, names: (m, p) => m !== p },
  erase: { operators: 2, names: (m, p) => m && !p },
};
const actionFields = f.record({
  action: f.oneOf(...Object.keys(ACTIONS)),
  message: NULL(f.digest),
  contact_point: NULL(f.identifier),
  time: f.time,
  reason: f.line(1, 500),
});

export const operatorsOf = (action) => (ACTIONS[action] ?? EMPTY).operators;

export function action(value) {
  actionFields(value);
  f.require(ACTIONS[value.action].names(value.message !== null, value.contact_point !== null), "names more or less");
}

/** Section 5.6. */
export const session = f.record({
  operator: f.identifier,
  address: f.address,
  challenge: f.challenge,
  time: f.time,
});

const RESERVED = ["broker", "log", "officer", "witness", "operator"];
const holdFields = f.record({
  action: f.oneOf("hold", "lift"),
  contact_point: f.identifier,
  hold: NULL(f.digest),
  directory: NULL(f.reference),
  time: f.time,
  until: NULL(f.time),
  reason: f.line(1, 500),
});

/** Section 4.7. */
export function hold(value) {
  holdFields(value);
  f.require(!RESERVED.includes(value.contact_point.split(".")[0]), "a reserved name");
  const lifts = value.action === "lift";
  f.require(lifts === (value.hold !== null), "a hold that names one, or a lifting that does not");
  f.require(lifts === (value.directory === null) && lifts === (value.until === null), "nulls of the other action");
  if (!lifts) f.require(value.until > value.time && value.until - value.time <= 72 * 3_600_000, "no time, or too long");
}
