// Reads a JSON list of base64 texts, parses each as JSON, writes it again and prints the list of what came out.
import { text } from "node:stream/consumers";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const again = (base64) => {
  const value = JSON.parse(strict.decode(Buffer.from(base64, "base64")));
  return Buffer.from(JSON.stringify(value), "utf-8").toString("base64");
};
process.stdout.write(JSON.stringify(JSON.parse(await text(process.stdin)).map(again)));
