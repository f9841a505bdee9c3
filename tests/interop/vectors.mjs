// Prints every vector of the CCTV age testkit as one JSON object: name to base64.
import * as vectors from "cctv-age";

const entries = Object.entries(vectors).map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]);
process.stdout.write(JSON.stringify(Object.fromEntries(entries)));
