/*
 * Azurite's blob service, with what Azure has and Azurite lacks: copies that take time, stay pending, fail and are
 * aborted; copies that do not share their page table with their source; Put Page From URL (pages_from_url.cjs); digests
 * of ranges (range_digests.cjs); accounts added while it runs. It also starts and reads faster (savings.cjs), and is
 * filled by fewer calls (page_runs.cjs).
 *
 *   node azurite_host.cjs <azurite>/dist/src/blob/main.js <front port> <Azurite's own options>
 *
 * Patches Azurite's classes (3.37.0, as locked in localcloud/azurite). The front (front.py) decides faults and latencies,
 * and describes a copy in the request header x-localcloud-copy. Account keys arrive as lines
 * {"accounts": {"name": "key"}} on standard input, each acknowledged by a line on standard output. When standard input
 * is closed, even because the parent was killed, Azurite stops cleanly.
 */
"use strict";
const { dirname, join } = require("node:path");
const { createInterface } = require("node:readline");
const { createRequire } = require("node:module");

const [, , entry, frontPort, ...options] = process.argv;
const ownPort = options[options.indexOf("--blobPort") + 1];
const load = (name) => require(join(dirname(entry), name)).default;
require("./savings.cjs")(entry);

const Store = load("persistence/LokiBlobMetadataStore.js").prototype;
const Handler = load("handlers/BlobHandler.js").prototype;
const Server = load("BlobServer.js").prototype;
const Accounts = require(join(dirname(entry), "../common/AccountDataStore.js")).default.prototype;
const BlobStorageContext = load("context/BlobStorageContext.js");
const StorageError = load("errors/StorageError.js");
const errors = load("errors/StorageErrorFactory.js");
const { newEtag } = require(join(dirname(entry), "../common/utils/utils.js"));

const PAGE_BLOB = "PageBlob";
const pending = new Set(); // blob documents with a pending copy; each document's `copyLife` describes it

const blobs = (store) => store.db.getCollection(store.BLOBS_COLLECTION);

function find(store, { account, container, blob, snapshot = "" }) {
  return blobs(store).findOne({ accountName: account, containerName: container, name: blob, snapshot });
}

/** Copies the tables that locate a blob's bytes. Azurite copies the reference, so a write to one blob changes the other. */
function takeContent(document, source) {
  document.pageRangesInOrder = source.pageRangesInOrder?.slice();
  document.committedBlocksInOrder = source.committedBlocksInOrder?.slice();
  document.persistency = source.persistency;
}

const dropContent = (document) => takeContent(document, { pageRangesInOrder: [], committedBlocksInOrder: [] });

function beginCopy(store, document, source, life) {
  const length = document.properties.contentLength ?? 0;
  const seconds = life.seconds + (life.bytesPerSecond ? length / life.bytesPerSecond : 0);
  document.copyLife = { ...life, seconds, began: Date.now(), length, source, sourceEtag: find(store, source)?.properties.etag };
  Object.assign(document.properties, {
    copyStatus: "pending",
    copyProgress: `0/${length}`,
    copyCompletionTime: undefined,
    // Azure creates a page blob of the full length that reads as zeros, and other blobs without content.
    contentLength: document.properties.blobType === PAGE_BLOB ? length : 0,
  });
  dropContent(document);
  pending.add(document);
}

function endCopy(store, document, status, description) {
  const life = document.copyLife;
  delete document.copyLife;
  pending.delete(document);
  if (status === "success") {
    takeContent(document, find(store, life.source));
    document.properties.contentLength = life.length;
    document.properties.copyProgress = `${life.length}/${life.length}`;
  } else {
    dropContent(document);
    document.properties.contentLength = 0;
  }
  const now = new Date();
  Object.assign(document.properties, {
    copyStatus: status,
    copyStatusDescription: description,
    copyCompletionTime: now,
    lastModified: now,
    etag: newEtag(),
  });
  blobs(store).update(document);
}

function sourceFault(store, life) {
  const source = find(store, life.source);
  if (!source || source.deleted) return '404 BlobNotFound "Copy failed when reading the source."';
  if (source.properties.etag !== life.sourceEtag) return '412 ConditionNotMet "The source changed during the copy."';
  return undefined;
}

/** Updates the progress of every copy. Every operation on blobs calls this first, so no timer is needed. */
function settle(store) {
  for (const document of pending) {
    const life = document.copyLife;
    if (blobs(store).get(document.$loki) !== document) {
      pending.delete(document); // deleted with its container
      continue;
    }
    const share = life.seconds > 0 ? Math.min((Date.now() - life.began) / 1000 / life.seconds, 1) : 1;
    const fault = sourceFault(store, life) ?? (share === 1 ? life.fails : undefined);
    if (fault != null) endCopy(store, document, "failed", fault);
    else if (life.stalls || share < 1) {
      // A stalled copy stops at half its length.
      const copied = Math.floor((life.length * (life.stalls ? Math.min(share, 0.5) : share)) / 512) * 512;
      document.properties.copyProgress = `${copied}/${life.length}`;
    } else endCopy(store, document, "success", undefined);
  }
}

function refuseIfPending(document, context) {
  if (document?.copyLife) {
    throw new StorageError(409, "PendingCopyOperation", "There is currently a pending copy operation.", context.contextId);
  }
}

const READS = ["getBlobProperties", "downloadBlob", "getBlob", "listBlobs", "getPageRanges"];
const WRITES = [
  "createBlob", "createSnapshot", "deleteBlob", "setBlobHTTPHeaders", "setBlobMetadata", "setTier", "stageBlock",
  "appendBlock", "commitBlockList", "uploadPages", "clearRange", "resizePageBlob", "updateSequenceNumber", "setBlobTag",
];
const COPIES = ["startCopyFromURL", "copyFromURL"];

function wrap(owner, name, make) {
  const original = owner[name];
  if (typeof original !== "function") throw new Error(`Azurite has no ${name}: install the locked version`);
  owner[name] = make(original);
}

for (const name of READS) {
  wrap(Store, name, (original) => async function (...given) {
    settle(this);
    return original.apply(this, given);
  });
}

for (const name of WRITES) {
  wrap(Store, name, (original) => async function (context, ...given) {
    settle(this);
    refuseIfPending(find(this, new BlobStorageContext(context)), context);
    return original.call(this, context, ...given);
  });
}

for (const name of COPIES) {
  wrap(Store, name, (original) => async function (context, source, destination, ...given) {
    settle(this);
    refuseIfPending(find(this, source), context);
    refuseIfPending(find(this, destination), context);
    const properties = await original.call(this, context, source, destination, ...given);
    const document = find(this, destination);
    takeContent(document, document);
    const life = new BlobStorageContext(context).request.getHeader("x-localcloud-copy");
    const delayed = life && name === "startCopyFromURL" && document !== find(this, source);
    if (delayed) beginCopy(this, document, source, JSON.parse(life));
    blobs(this).update(document);
    return properties;
  });
}

const tools = {
  load: (name, whole = false) => (whole ? require(join(dirname(entry), name)) : load(name)),
  find: (store, id) => {
    settle(store);
    return find(store, id instanceof BlobStorageContext ? { account: id.account, container: id.container, blob: id.blob } : id);
  },
  wrapHandler: (name, method, make) => wrap(load(name).prototype, method, make),
};
require("./pages_from_url.cjs")(tools);
require("./range_digests.cjs")(tools);
require("./page_runs.cjs")(tools);

wrap(Handler, "abortCopyFromURL", (original) => async function (copyId, given, context) {
  const answer = await original.call(this, copyId, given, context); // checks lease and copy id
  const document = find(this.metadataStore, new BlobStorageContext(context));
  if (!document?.copyLife) throw errors.getNoPendingCopyOperation(context.contextId);
  endCopy(this.metadataStore, document, "aborted", undefined);
  return answer;
});

wrap(Handler, "validateCopySource", (original) => async function (url, account, context) {
  const { request } = new BlobStorageContext(context);
  const { host, pathname, searchParams } = new URL(url);
  if (request.getHeader("x-localcloud-source") && host === request.getHeader("Host")) {
    const [, , container, ...blob] = pathname.split("/").map(decodeURIComponent);
    const source = { account, container, blob: blob.join("/"), snapshot: searchParams.get("snapshot") ?? "" };
    if (find(this.metadataStore, source)) return; // the front has authorized the caller
  }
  try {
    await original.call(this, url, account, context);
  } catch (error) {
    // Without a signature, Azure does not reveal that a private blob exists.
    if (error.statusCode !== 403 || searchParams.has("sig")) throw error;
    throw errors.getCannotVerifyCopySource(context.contextId, 404, "The specified resource does not exist.");
  }
});

wrap(Store, "init", (original) => async function () {
  await original.call(this);
  for (const document of blobs(this).where((each) => each.copyLife !== undefined)) pending.add(document);
});

// Azurite sends an HTTP request to check access to a copy's source. The URL names the front: send it to Azurite itself,
// so that fault rules and journal skip it.
createRequire(entry)("axios").interceptors.request.use((request) => {
  const url = new URL(request.url);
  if (url.port === frontPort) url.port = ownPort;
  return { ...request, url: url.href, proxy: false };
});

let accountStore;
wrap(Accounts, "init", (original) => async function () {
  accountStore = this;
  return original.call(this);
});

wrap(Server, "afterClose", (original) => async function () {
  await original.call(this); // writes the databases
  process.exit(0);
});

function setAccounts(accounts) {
  // A lone separator: with an empty value Azurite uses its default account with the well-known key.
  process.env.AZURITE_ACCOUNTS = Object.entries(accounts).map(([name, key]) => `${name}:${key};`).join("") || ";";
  if (accountStore) accountStore.refresh();
  else {
    process.argv = [process.argv[0], entry, ...options];
    require(entry);
  }
  console.log(JSON.stringify({ accounts: Object.keys(accounts).length }));
}

createInterface({ input: process.stdin })
  .on("line", (line) => setAccounts(JSON.parse(line).accounts))
  .on("close", () => process.emit("SIGTERM") || process.exit(0)); // no listener yet: there is nothing to save
