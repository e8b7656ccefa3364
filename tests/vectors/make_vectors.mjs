// Known answers for shared/crypto.py, made with Node's crypto: another implementation of the same two formats.
//   node tests/vectors/make_vectors.mjs
// prints JSON; tests/shared/test_crypto.py holds the same values as constants.
import { createCipheriv, createDecipheriv, hkdfSync, pbkdf2Sync } from "node:crypto";

const PASSPHRASE = "corréct horse battery staple 2026";
const bytes = (first, length) => Buffer.from(Array.from({ length }, (_, n) => (first + n) % 256));

// salt:iv:authTag:ciphertext, the platform's format.
function platform(text, passphrase, salt, iv) {
  const key = pbkdf2Sync(Buffer.from(passphrase, "utf8"), salt, 100_000, 32, "sha256");
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  const ciphertext = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return [salt, iv, cipher.getAuthTag(), ciphertext].map((part) => part.toString("hex")).join(":");
}

function platformBack(text, passphrase) {
  const [salt, iv, tag, ciphertext] = text.split(":").map((part) => Buffer.from(part, "hex"));
  const key = pbkdf2Sync(Buffer.from(passphrase, "utf8"), salt, 100_000, 32, "sha256");
  const decipher = createDecipheriv("aes-256-gcm", key, iv);
  decipher.setAuthTag(tag);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString("utf8");
}

// version | length of key id | key id | nonce | ciphertext | tag, the jobs' own envelope.
function envelope(data, keyId, passphrase, purpose, aad, nonce) {
  const header = Buffer.concat([Buffer.from([1, keyId.length]), Buffer.from(keyId, "ascii")]);
  const info = Buffer.from(`cgk-jobs/v1/${purpose}`, "ascii");
  const key = Buffer.from(hkdfSync("sha256", Buffer.from(passphrase, "utf8"), Buffer.alloc(0), info, 32));
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.concat([header, aad]));
  const ciphertext = Buffer.concat([cipher.update(data), cipher.final()]);
  return Buffer.concat([header, nonce, ciphertext, cipher.getAuthTag()]).toString("hex");
}

const platformTexts = ["shpat_0123456789abcdef0123456789abcdef", "Größe 12 € ✓", ""];
const platformVectors = platformTexts.map((text, n) => ({
  text,
  salt: bytes(16 * n, 16).toString("hex"),
  iv: bytes(200 + n, 16).toString("hex"),
  sealed: platform(text, PASSPHRASE, bytes(16 * n, 16), bytes(200 + n, 16)),
}));
for (const { text, sealed } of platformVectors) {
  if (platformBack(sealed, PASSPHRASE) !== text) throw new Error("the platform's format does not come back");
}

const envelopes = [
  ["payload", "acme", '{"orderId":"1001"}'],
  ["task-token", "acme", "AAAAKgAAAAIAAAAA"],
  ["payload", "globex", ""],
].map(([purpose, aad, data], n) => ({
  purpose,
  aad,
  data,
  nonce: bytes(100 + n, 12).toString("hex"),
  sealed: envelope(Buffer.from(data), "2026-11", PASSPHRASE, purpose, Buffer.from(aad), bytes(100 + n, 12)),
}));

console.log(JSON.stringify({ passphrase: PASSPHRASE, platform: platformVectors, envelopes }, null, 2));
