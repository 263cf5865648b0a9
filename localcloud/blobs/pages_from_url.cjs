/*
 * Put Page From URL for Azurite, which returns 501 for it: writes a range of a page blob from another page blob.
 *
 * Implements the operation as Azure documents it, with its conditions, digests and errors. Copies no bytes: extents are
 * never written twice, so the destination's page table points at those of the source. Callers are authorized earlier
 * (authorization.py, Azurite); only a SAS in the source's URL is checked here. The request header x-localcloud-corrupt
 * makes it change one byte of the range; x-localcloud-source says that the front has authorized the source for this call
 * (by a bearer token, or for a managed disk), which is never cached.
 */
"use strict";

const MOST_BYTES = 4 * 1024 * 1024;
const PAGE_BYTES = 512;
const SAS_SECONDS = 5; // how long a valid SAS is cached, unless it expires earlier

module.exports = function install({ load, find, wrapHandler }) {
  const Ranges = load("handlers/PageBlobRangesManager.js");
  const BlobStorageContext = load("context/BlobStorageContext.js");
  const errors = load("errors/StorageErrorFactory.js");
  const { validateReadConditions } = load("conditions/ReadConditionalHeadersValidator.js", true);
  const { ZERO_EXTENT_ID } = load("persistence/IBlobMetadataStore.js", true);
  const { computeTransactionalChecksums } = load("../common/utils/utils.js", true);
  const blobHandler = load("handlers/BlobHandler.js").prototype;
  const ranges = new Ranges();
  const digests = new Map(); // name and extents of a range -> digest, so that the source of 200 copies is read once
  const opened = new Map(); // source URL with its valid SAS -> expiry of this entry, in ms

  function rangeOf(text, context, header) {
    const match = /^bytes=(\d+)-(\d+)$/.exec(text ?? "");
    const [start, end] = match ? [Number(match[1]), Number(match[2])] : [0, -1];
    if (end < start) throw errors.getInvalidHeaderValue(context.contextId, { HeaderName: header, HeaderValue: text ?? "" });
    if (start % PAGE_BYTES || (end + 1) % PAGE_BYTES || end - start + 1 > MOST_BYTES) {
      throw errors.getInvalidPageRange(context.contextId);
    }
    return { start, end };
  }

  function sourceId(url, context) {
    try {
      const { pathname, searchParams } = new URL(url);
      const [, account, container, ...blob] = pathname.split("/").map(decodeURIComponent);
      return { account, container, blob: blob.join("/"), snapshot: searchParams.get("snapshot") ?? "" };
    } catch {
      throw errors.getInvalidHeaderValue(context.contextId, { HeaderName: "x-ms-copy-source", HeaderValue: "" });
    }
  }

  async function checkSource(handler, url, account, context) {
    if (new BlobStorageContext(context).request.getHeader("x-localcloud-source")) return;
    const now = Date.now();
    const end = Date.parse(new URL(url).searchParams.get("se") ?? "");
    if ((opened.get(url) ?? 0) > now && !(end <= now)) return;
    await blobHandler.validateCopySource.call(handler, url, account, context);
    if (opened.size > 10_000) opened.clear();
    opened.set(url, now + SAS_SECONDS * 1000);
  }

  /** The digest "md5" or "crc64" of a range: reading it takes long, so only those that somebody asks for. */
  async function digestOf(name, handler, chunks, context) {
    const key = `${name} ${chunks.map((each) => `${each.id}:${each.offset}:${each.count}`).join()}`;
    if (!digests.has(key)) {
      const count = chunks.reduce((sum, each) => sum + each.count, 0);
      const stream = await handler.extentStore.readExtents(chunks, 0, count, context.contextId);
      const found = await computeTransactionalChecksums(stream, {}, { [name]: true });
      digests.set(key, Buffer.from(found[name]).toString("base64"));
    }
    return digests.get(key);
  }

  async function corrupted(handler, chunks, context) {
    const count = chunks.reduce((sum, each) => sum + each.count, 0);
    const bytes = [];
    for await (const chunk of await handler.extentStore.readExtents(chunks, 0, count, context.contextId)) bytes.push(chunk);
    const content = Buffer.concat(bytes);
    content[content.length >> 1] ^= 0xff;
    return handler.extentStore.appendExtent(content, context.contextId);
  }

  const asText = (value) => (value == null || typeof value === "string" ? value : Buffer.from(value).toString("base64"));

  async function uploadPagesFromURL(sourceUrl, sourceRange, contentLength, range, options, context) {
    const request = new BlobStorageContext(context);
    const to = rangeOf(request.request.getHeader("x-ms-range") ?? request.request.getHeader("range"), context, "x-ms-range");
    const from = rangeOf(sourceRange, context, "x-ms-source-range");
    if (contentLength !== 0 || from.end - from.start !== to.end - to.start) throw errors.getInvalidPageRange(context.contextId);
    const id = sourceId(sourceUrl, context);
    await checkSource(this, sourceUrl, id.account, context);
    const source = find(this.metadataStore, id);
    if (!source || source.deleted) {
      throw errors.getCannotVerifyCopySource(context.contextId, 404, "The specified resource does not exist.");
    }
    const given = options.sourceModifiedAccessConditions ?? {};
    const conditions = {
      ifMatch: given.sourceIfMatch,
      ifNoneMatch: given.sourceIfNoneMatch,
      ifModifiedSince: given.sourceIfModifiedSince,
      ifUnmodifiedSince: given.sourceIfUnmodifiedSince,
    };
    try {
      validateReadConditions(context, conditions, source, true);
    } catch (error) {
      if (error.statusCode !== 412 && error.statusCode !== 304) throw error;
      throw errors.getSourceConditionNotMet(context.contextId);
    }
    if (from.end >= source.properties.contentLength) {
      throw errors.getCannotVerifyCopySource(context.contextId, 416, "The range specified is invalid for the source.");
    }
    const held = ranges.fillZeroRanges(source.pageRangesInOrder ?? [], from).map((each) => ({
      start: Math.max(each.start, from.start),
      end: Math.min(each.end, from.end),
      persistency: each.persistency,
    }));
    let parts = held.map(({ start, end, persistency }) => ({ start, end, persistency: { ...persistency, count: end - start + 1 } }));
    const wanted = { crc64: asText(options.sourceContentcrc64), md5: asText(options.sourceContentMD5) };
    const digest = (name) => digestOf(name, this, parts.map((each) => each.persistency), context);
    const crc64 = wanted.crc64 && (await digest("crc64"));
    if (crc64 !== wanted.crc64) throw errors.getCrc64Mismatch(context.contextId, wanted.crc64, crc64);
    const md5 = wanted.md5 && (await digest("md5"));
    if (md5 !== wanted.md5) throw errors.getMd5Mismatch(context.contextId, wanted.md5, md5);
    if (request.request.getHeader("x-localcloud-corrupt")) {
      parts = [{ ...from, persistency: await corrupted(this, parts.map((each) => each.persistency), context) }];
    }
    const name = wanted.md5 ? "md5" : "crc64"; // recorded of Azure: a request with an MD5 gets the MD5, and no CRC64
    const result = Buffer.from(await digest(name), "base64");
    const destination = find(this.metadataStore, request);
    if (!destination) throw errors.getBlobNotFound(context.contextId);
    if (destination.properties.blobType !== "PageBlob") throw errors.getBlobInvalidBlobType(context.contextId);
    if (to.end >= destination.properties.contentLength) throw errors.getInvalidPageRange(context.contextId);
    // Checks the conditions and allocates the pages; the loop then sets each part.
    const zeros = { id: ZERO_EXTENT_ID, offset: 0, count: to.end - to.start + 1 };
    const written = await this.metadataStore.uploadPages(
      context, destination, to.start, to.end, zeros,
      options.leaseAccessConditions, options.modifiedAccessConditions, options.sequenceNumberAccessConditions,
    );
    const shift = to.start - from.start;
    const table = find(this.metadataStore, request).pageRangesInOrder;
    for (const { start, end, persistency } of parts) {
      ranges.mergeRange(table, { start: start + shift, end: end + shift, persistency });
    }
    return {
      statusCode: 201,
      eTag: written.etag,
      lastModified: written.lastModified,
      [name === "md5" ? "contentMD5" : "xMsContentCrc64"]: result,
      blobSequenceNumber: written.blobSequenceNumber,
      requestId: context.contextId,
      version: request.request.getHeader("x-ms-version"),
      date: context.startTime,
      isServerEncrypted: true,
      clientRequestId: options.requestId,
    };
  }

  const Operation = load("generated/artifacts/operation.js");
  const permissions = load("authentication/OperationBlobSASPermission.js", true);
  for (const table of [
    permissions.OPERATION_BLOB_SAS_BLOB_PERMISSIONS,
    permissions.OPERATION_BLOB_SAS_CONTAINER_PERMISSIONS,
    load("authentication/OperationAccountSASPermission.js"),
  ]) {
    table.set(Operation.PageBlob_UploadPagesFromURL, table.get(Operation.PageBlob_UploadPages));
  }
  load("handlers/PageBlobHandler.js").prototype.NewUriFromCopySource = blobHandler.NewUriFromCopySource;
  wrapHandler("handlers/PageBlobHandler.js", "uploadPagesFromURL", () => uploadPagesFromURL);
};
