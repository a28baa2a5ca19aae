// SPDX-License-Identifier: Apache-2.0
// Verifies keyless bundles with the packages of Sigstore for JavaScript. Reads an array of {bundle, root, identity, issuer} (files, and texts) on
// standard input; writes an array of "verified NAME" and "refused CODE: why".
const fs = require("node:fs");
const { bundleFromJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");

const read = (path) => JSON.parse(fs.readFileSync(path, "utf8"));

function judge({ bundle, root, identity, issuer }) {
  try {
    const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(read(root))));
    const escaped = identity.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
    const signer = verifier.verify(toSignedEntity(bundleFromJSON(read(bundle))), {
      subjectAlternativeName: new RegExp(`^${escaped}$`),
      extensions: { issuer },
    });
    return `verified ${signer.identity.subjectAlternativeName}`;
  } catch (error) {
    return `refused ${error.code || error.name}: ${error.message}`;
  }
}

console.log(JSON.stringify(JSON.parse(fs.readFileSync(0, "utf8")).map(judge)));
