// SPDX-License-Identifier: Apache-2.0
// Verifies a keyless bundle with the packages of Sigstore for JavaScript: NODE sigstore_verify.js BUNDLE TRUSTED_ROOT IDENTITY ISSUER
const fs = require("node:fs");
const { bundleFromJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");

const [bundle, root, identity, issuer] = process.argv.slice(2);
const read = (path) => JSON.parse(fs.readFileSync(path, "utf8"));

try {
  const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(read(root))), { tsaThreshold: 0 });
  const escaped = identity.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  const signer = verifier.verify(toSignedEntity(bundleFromJSON(read(bundle))), {
    subjectAlternativeName: new RegExp(`^${escaped}$`),
    extensions: { issuer },
  });
  console.log(`verified ${signer.identity.subjectAlternativeName}`);
} catch (error) {
  console.log(`refused ${error.code || error.name}: ${error.message}`);
  process.exit(1);
}
