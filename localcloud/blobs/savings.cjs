/*
 * What Azurite does at length and the embedded cloud does not need: a CRC64 byte by byte, empty ranges in chunks of 512
 * bytes, and two libraries that it loads but does not use here (telemetry, which --disableTelemetry forbids, and SQL).
 */
"use strict";
const { createHash } = require("node:crypto");
const { join, dirname } = require("node:path");
const { createRequire } = require("node:module");
const Crc64 = require("./crc64.cjs");

const ZEROS = Buffer.alloc(64 * 1024);

/** Replaces them. Call it before any other part of Azurite is loaded. */
module.exports = function install(entry) {
  const from = createRequire(entry);
  for (const unused of ["applicationinsights", join(dirname(entry), "SqlBlobServer.js")]) {
    const path = from.resolve(unused);
    require.cache[path] = { id: path, filename: path, loaded: true, exports: {} };
  }

  from("../common/ZeroBytesStream.js").default.prototype._read = function () {
    const zeros = ZEROS.subarray(0, this.leftBytes);
    this.leftBytes -= zeros.length;
    this.push(zeros.length ? zeros : null);
  };

  from("../common/utils/utils.js").computeTransactionalChecksums = async (stream, expected, force = {}) => {
    const needed = (name) => expected[name] !== undefined || force[name];
    const md5 = needed("md5") ? createHash("md5") : undefined;
    const crc64 = needed("crc64") ? new Crc64() : undefined;
    for await (const chunk of stream) {
      md5?.update(chunk);
      crc64?.update(chunk);
    }
    return { md5: md5 && new Uint8Array(md5.digest()), crc64: crc64?.digest() };
  };
};
