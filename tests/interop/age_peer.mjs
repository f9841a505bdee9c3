// age's author's own JavaScript at work. Reads a JSON list of jobs, prints a JSON list of answers; bytes are base64.
//
//   {"do": "identity"}                                            -> {"identity", "recipient"}
//   {"do": "encrypt", "plaintext", "recipients" or "passphrase"}  -> {"file"}
//   {"do": "decrypt", "file", "identity" or "passphrase"}         -> {"plaintext"} or {"refused"}
import { text } from "node:stream/consumers";
import { Decrypter, Encrypter, generateHybridIdentity, identityToRecipient } from "age-encryption";

const work = {
  async identity() {
    const identity = await generateHybridIdentity();
    return { identity, recipient: await identityToRecipient(identity) };
  },
  async encrypt({ plaintext, recipients, passphrase }) {
    const encrypter = new Encrypter();
    recipients?.forEach((recipient) => encrypter.addRecipient(recipient));
    if (passphrase !== undefined) {
      encrypter.setPassphrase(passphrase);
      encrypter.setScryptWorkFactor(12);
    }
    const file = await encrypter.encrypt(new Uint8Array(Buffer.from(plaintext, "base64")));
    return { file: Buffer.from(file).toString("base64") };
  },
  async decrypt({ file, identity, passphrase }) {
    const decrypter = new Decrypter();
    if (identity !== undefined) decrypter.addIdentity(identity);
    if (passphrase !== undefined) decrypter.addPassphrase(passphrase);
    try {
      const plaintext = await decrypter.decrypt(new Uint8Array(Buffer.from(file, "base64")));
      return { plaintext: Buffer.from(plaintext).toString("base64") };
    } catch (error) {
      return { refused: String(error) };
    }
  },
};

const answers = [];
for (const job of JSON.parse(await text(process.stdin))) answers.push(await work[job.do](job));
process.stdout.write(JSON.stringify(answers));
