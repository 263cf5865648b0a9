/*
 * Digests of ranges for Azurite's Get Blob: x-ms-range-get-content-md5 with Azure's limits, x-ms-range-get-content-crc64.
 *
 * Computes them from the content that Azurite returns. Azurite rejects the CRC64 header, and for more than 4 MiB it
 * returns neither an MD5 nor an error.
 */
"use strict";
const { Readable } = require("node:stream");

const MOST_BYTES = 4 * 1024 * 1024;

module.exports = function install({ load, wrapHandler }) {
  const BlobStorageContext = load("context/BlobStorageContext.js");
  const StorageError = load("errors/StorageError.js");
  const errors = load("errors/StorageErrorFactory.js");
  const { HeaderConstants } = load("utils/constants.js", true);
  const { computeTransactionalChecksums } = load("../common/utils/utils.js", true);
  HeaderConstants.X_MS_RANGE_GET_CONTENT_CRC64 = "x-localcloud-unused"; // removes it from Azurite's list of rejected headers

  wrapHandler("handlers/BlobHandler.js", "download", (original) => async function (options, context) {
    const { request } = new BlobStorageContext(context);
    const wants = (digest) => request.getHeader(`x-ms-range-get-content-${digest}`)?.toLowerCase() === "true";
    const [md5, crc64] = [wants("md5"), wants("crc64")];
    if (md5 && crc64) {
      const message = "Both x-ms-range-get-content-crc64 header and x-ms-range-get-content-md5 header are present.";
      throw new StorageError(400, "BothCrc64AndMd5RangeHeaderPresent", message, context.contextId);
    }
    const answer = await original.call(this, options, context);
    if (!answer.contentRange) {
      if (md5 || crc64) throw errors.getInvalidHeaderValue(context.contextId, { HeaderName: "x-ms-range", HeaderValue: "" });
      return answer;
    }
    if (!md5 && !crc64) return { ...answer, contentMD5: undefined };
    if (answer.contentLength > MOST_BYTES) throw errors.getOutOfRangeInput(context.contextId, "x-ms-range");
    const chunks = [];
    for await (const chunk of answer.body) chunks.push(chunk);
    const digests = await computeTransactionalChecksums(Readable.from(chunks), {}, { md5, crc64 });
    return { ...answer, body: Readable.from(chunks), contentMD5: digests.md5, contentCrc64: digests.crc64 };
  });
};
