// The JSON form, and the types that recur: SPEC.md section 1.2.

export class Refused extends Error {}

export function refuse(why) {
  throw new Refused(why);
}

export function require(condition, why) {
  if (!condition) refuse(why);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const FORBIDDEN =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const DEPTH_MAX = 16;

/** The value that `bytes` spell in the one form, of a type made below. */
export function decode(bytes, type) {
  const value = parse(bytes);
  type(value);
  return value;
}

/** The value that `bytes` spell in the one form, of whatever type. */
export function parse(bytes) {
  let text, value;
  try {
    text = utf8.decode(bytes);
    checkDepth(text);
    value = JSON.parse(text);
  } catch (error) {
    refuse(`no JSON: ${error.message}`);
  }
  require(JSON.stringify(value) === text, "another spelling");
  checkTexts(value);
  return value;
}

function checkDepth(text) {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (inString) {
      if (c === "\\") at++;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === "[" || c === "{") require(++depth <= DEPTH_MAX, "too deep");
    else if (c === "]" || c === "}") depth--;
  }
}

function checkTexts(value) {
  if (typeof value === "string") {
    require(!FORBIDDEN.test(value), "a forbidden character");
    require(value.normalize("NFC") === value, "not NFC");
    require(!value.endsWith("\n"), "a newline at the end");
  } else if (typeof value === "number") {
    require(Number.isSafeInteger(value) && value >= 0, "not an integer from 0 to 2^53-1");
  } else if (Array.isArray(value)) value.forEach(checkTexts);
  else if (value !== null && typeof value === "object") {
    for (const [key, item] of Object.entries(value)) {
      checkTexts(key);
      checkTexts(item);
    }
  }
}

// Types: each takes a value and refuses it, or does nothing.

const pattern = (expression) => (value) =>
  require(typeof value === "string" && expression.test(value), `not ${expression}`);

export const identifier = pattern(/^[a-z][a-z0-9.-]{0,63}$/);
export const address = pattern(/^https?:\/\/[a-z0-9.:[\]-]{1,255}$/);
export const challenge = pattern(/^[A-Za-z0-9_-]{22,128}$/);
export const messageId = pattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
export const digest = pattern(/^[0-9a-f]{64}$/);
export const key = digest;
export const mlDsaKey = pattern(/^[0-9a-f]{2624}$/);
export const sealKey = pattern(/^[A-Za-z0-9+/]{1621}[AQgw]==$/);
export const typeName = pattern(/^[a-z][a-z-]{0,62}\/[1-9][0-9]{0,3}$/);
export const bilateralName = pattern(/^x-[a-z][a-z-]{0,60}\/[1-9][0-9]{0,3}$/);
const calendar = pattern(/^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}$/);
export const day = (value) => {
  calendar(value);
  const found = new Date(`${value}T00:00:00Z`);
  require(!Number.isNaN(found.getTime()) && found.toISOString().startsWith(value), "no such day");
};
export const state = pattern(/^[A-Z]{2}$/);

export const number =
  (min = 0, max = Number.MAX_SAFE_INTEGER) =>
  (value) =>
    require(typeof value === "number" && value >= min && value <= max, "not a number in range");
export const time = number();
export const boolean = (value) => require(typeof value === "boolean", "not true or false");
/** A text of one line; lengths count Unicode characters. */
export const line =
  (min = 0, max = Infinity) =>
  (value) => {
    require(typeof value === "string" && !value.includes("\n"), "not a line");
    const length = [...value].length;
    require(length >= min && length <= max, "a line too short or too long");
  };
export const oneOf =
  (...values) =>
  (value) =>
    require(values.includes(value), `none of ${values}`);
export const nullOr = (type) => (value) => {
  if (value !== null) type(value);
};
export const list =
  (type, min = 0, max = Infinity) =>
  (value) => {
    require(Array.isArray(value) && value.length >= min && value.length <= max, "not a list of that length");
    value.forEach(type);
  };
export const tuple =
  (...types) =>
  (value) => {
    require(Array.isArray(value) && value.length === types.length, "not a list of that length");
    types.forEach((type, at) => type(value[at]));
  };
export const reference = tuple(number(), digest);
export const record = (fields) => (value) => {
  require(value !== null && typeof value === "object" && !Array.isArray(value), "not an object");
  require(Object.keys(value).join() === Object.keys(fields).join(), "not these fields in this order");
  for (const [name, type] of Object.entries(fields)) type(value[name]);
};
export const map = (keyType, type, min, max) => (value) => {
  require(value !== null && typeof value === "object" && !Array.isArray(value), "not an object");
  const keys = Object.keys(value);
  require(keys.length >= min && keys.length <= max, "too few or too many keys");
  // Identifiers are ASCII: the order of JavaScript's strings is that of their bytes.
  require(inOrder(keys), "keys not in byte order");
  for (const name of keys) {
    keyType(name);
    type(value[name]);
  }
};

/** Whether texts ascend, each once. */
export const inOrder = (texts) => texts.every((text, at) => at === 0 || texts[at - 1] < text);
