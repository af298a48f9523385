import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";

/** A key and its certificate, both PEM. */
export interface LoopbackCertificate {
  readonly key: string;
  readonly cert: string;
}

const dayMs = 86_400_000;

/**
 * A fresh self-signed certificate (ECDSA P-256) for `localhost` and 127.0.0.1, valid from yesterday for a year.
 * It is its own authority: clients trust it through `ca` or NODE_EXTRA_CA_CERTS. Layout: RFC 5280, section 4.1.
 */
export function createLoopbackCertificate(): LoopbackCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeyDer = publicKey.export({ type: "spki", format: "der" });
  const keyId = createHash("sha256").update(publicKeyDer).digest().subarray(0, 20);
  // A name of its own lets several such certificates share one file of trusted authorities.
  const name = sequence(set(sequence(oid("550403"), utf8(`loopback ${keyId.toString("hex", 0, 8)}`))));
  const algorithm = sequence(oid("2a8648ce3d040302")); // ecdsa-with-SHA256
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.of(2))), // version 3
    // A leading 0x4… keeps the serial number positive and of fixed length.
    der(0x02, Buffer.concat([Buffer.of(0x40), randomBytes(15)])),
    algorithm,
    name,
    sequence(time(Date.now() - dayMs), time(Date.now() + 364 * dayMs)),
    name,
    publicKeyDer,
    der(0xa3, sequence(...extensions(keyId))),
  );
  const signature = sign("sha256", toBeSigned, privateKey);
  const certificate = sequence(toBeSigned, algorithm, bits(signature));
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${certificate.toString("base64").replace(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`,
  };
}

function extensions(keyId: Buffer): Buffer[] {
  const critical = der(0x01, Buffer.of(0xff));
  const names = sequence(der(0x82, Buffer.from("localhost")), der(0x87, Buffer.of(127, 0, 0, 1)));
  return [
    sequence(oid("551d13"), critical, octets(sequence(critical))), // basicConstraints: CA
    sequence(oid("551d0f"), critical, octets(der(0x03, Buffer.of(2, 0x84)))), // digitalSignature, keyCertSign
    sequence(oid("551d25"), octets(sequence(oid("2b06010505070301")))), // extKeyUsage: serverAuth
    sequence(oid("551d0e"), octets(octets(keyId))), // subjectKeyIdentifier
    sequence(oid("551d11"), octets(names)), // subjectAltName
  ];
}

/** One DER element: tag, length, content (ITU-T X.690, section 8.1). */
function der(tag: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const hex = body.length.toString(16);
  const size = Buffer.from(hex.length % 2 ? `0${hex}` : hex, "hex");
  const length = body.length < 0x80 ? size : Buffer.of(0x80 | size.length, ...size);
  return Buffer.concat([Buffer.of(tag), length, body]);
}

const sequence = (...content: Buffer[]) => der(0x30, ...content);
const set = (...content: Buffer[]) => der(0x31, ...content);
const octets = (content: Buffer) => der(0x04, content);
const bits = (content: Buffer) => der(0x03, Buffer.of(0), content);
const oid = (hex: string) => der(0x06, Buffer.from(hex, "hex"));
const utf8 = (text: string) => der(0x0c, Buffer.from(text));

/** UTCTime, which RFC 5280 (section 4.1.2.5) requires until 2049. */
const time = (ms: number) =>
  der(
    0x17,
    Buffer.from(
      `${new Date(ms)
        .toISOString()
        .replace(/\.\d+|\D/g, "")
        .slice(2)}Z`,
    ),
  );
