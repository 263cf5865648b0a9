/*
 * What Azurite does at length and the embedded cloud does not need: a CRC64 byte by byte, empty ranges in chunks of 512
 * bytes, copies of what it keeps in memory, an MD5 of each small download that nobody asked for, and two libraries that
 * it loads but does not use here (telemetry, which --disableTelemetry forbids, and SQL).
 */
"use strict";
const { createHash } = require("node:crypto");
const { join, dirname } = require("node:path");
const { createRequire } = require("node:module");
const { Readable } = require("node:stream");
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

  // One chunk at a time: who reads gets those that are there, and not a buffer into which all of them are copied.
  const { ZERO_EXTENT_ID } = from("./persistence/IBlobMetadataStore.js");
  const memory = from("../common/persistence/MemoryExtentStore.js").default.prototype;
  const readExtent = memory.readExtent;
  memory.readExtent = async function (part, ...given) {
    const held = part?.count && part.id !== ZERO_EXTENT_ID && this.chunks.get(this.categoryName, part.id);
    if (!held) return readExtent.call(this, part, ...given);
    const stream = new Readable({ objectMode: true, read() {} });
    let at = -part.offset; // of a chunk, from the begin of the part
    for (const chunk of held.chunks) {
      const [start, end] = [Math.max(-at, 0), Math.min(part.count - at, chunk.length)];
      if (start < end) stream.push(chunk.subarray(start, end));
      at += chunk.length;
    }
    stream.push(null);
    return stream;
  };

  // Of each download up to 4 MiB. Azure returns a blob's stored MD5 or none; range_digests.cjs returns what is asked for.
  from("../common/utils/utils.js").getMD5FromStream = async (stream) => void stream.destroy();

  from("../common/utils/utils.js").computeTransactionalChecksums = async (stream, expected, force = {}) => {
    const needed = (name) => expected[name] !== undefined || force[name];
    const md5 = needed("md5") ? createHash("md5") : undefined;
    const crc64 = needed("crc64") ? new Crc64() : undefined;
    const take = (chunk) => {
      md5?.update(chunk);
      crc64?.update(chunk);
    };
    // By events: an iterator would first join all that a stream has into one buffer, which takes as long again.
    await new Promise((done, failed) => stream.on("data", take).on("end", done).on("error", failed));
    return { md5: md5 && new Uint8Array(md5.digest()), crc64: crc64?.digest() };
  };
};
