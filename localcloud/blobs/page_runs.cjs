/*
 * Put Page of several ranges by one call, for seeding.py: the header x-localcloud-runs lists them ("0-511,4096-8191"), the
 * body has their bytes in turn. Azure has no such call. Does not compute digests.
 */
"use strict";

module.exports = function install({ load, find, wrapHandler }) {
  const BlobStorageContext = load("context/BlobStorageContext.js");

  wrapHandler("handlers/PageBlobHandler.js", "uploadPages", (original) => async function (body, length, options, context) {
    const request = new BlobStorageContext(context);
    const runs = request.request.getHeader("x-localcloud-runs");
    if (!runs) return original.call(this, body, length, options, context);
    const { id, offset } = await this.extentStore.appendExtent(body, context.contextId);
    let at = offset;
    for (const [start, end] of runs.split(",").map((run) => run.split("-").map(Number))) {
      const count = end - start + 1;
      await this.metadataStore.uploadPages(context, find(this.metadataStore, request), start, end, { id, offset: at, count });
      at += count;
    }
    return { statusCode: 201, requestId: context.contextId, version: request.request.getHeader("x-ms-version") };
  });
};
