/*
 * CRC-64/NVME, the CRC64 of Azure Storage, eight bytes a step. Azurite's own takes one byte a step, which is ten times
 * slower: it was half of what the emulator did.
 */
"use strict";
const STEP = 8;
const POLYNOMIAL = [0x9a6c9329, 0xac4bc9b5]; // reflected: high and low half

/** Eight tables of 256 values: what a byte contributes that is followed by 0 to 7 others. Low and high halves. */
const LOW = new Int32Array(STEP * 256);
const HIGH = new Int32Array(STEP * 256);
for (let byte = 0; byte < 256; byte++) {
  let [high, low] = [0, byte];
  for (let bit = 0; bit < 8; bit++) {
    const odd = low & 1;
    low = ((high & 1) << 31) | (low >>> 1);
    high >>>= 1;
    if (odd) [high, low] = [high ^ POLYNOMIAL[0], low ^ POLYNOMIAL[1]];
  }
  [HIGH[byte], LOW[byte]] = [high, low];
}
for (let entry = 256; entry < STEP * 256; entry++) {
  const [high, low] = [HIGH[entry - 256], LOW[entry - 256]];
  LOW[entry] = LOW[low & 0xff] ^ ((high << 24) | (low >>> 8));
  HIGH[entry] = HIGH[low & 0xff] ^ (high >>> 8);
}

/** Takes bytes like a hash of node:crypto; `digest` returns the eight bytes, least significant first. */
module.exports = class Crc64 {
  #high = -1;
  #low = -1;

  update(bytes) {
    let [high, low] = [this.#high, this.#low];
    let at = 0;
    for (const last = bytes.length - STEP; at <= last; at += STEP) {
      const a = low ^ (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24));
      const b = high ^ (bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16) | (bytes[at + 7] << 24));
      const [i, j, k, l] = [1792 | (a & 0xff), 1536 | ((a >>> 8) & 0xff), 1280 | ((a >>> 16) & 0xff), 1024 | (a >>> 24)];
      const [m, n, o, p] = [768 | (b & 0xff), 512 | ((b >>> 8) & 0xff), 256 | ((b >>> 16) & 0xff), b >>> 24];
      low = LOW[i] ^ LOW[j] ^ LOW[k] ^ LOW[l] ^ LOW[m] ^ LOW[n] ^ LOW[o] ^ LOW[p];
      high = HIGH[i] ^ HIGH[j] ^ HIGH[k] ^ HIGH[l] ^ HIGH[m] ^ HIGH[n] ^ HIGH[o] ^ HIGH[p];
    }
    for (; at < bytes.length; at++) {
      const entry = (low ^ bytes[at]) & 0xff;
      low = LOW[entry] ^ ((high << 24) | (low >>> 8));
      high = HIGH[entry] ^ (high >>> 8);
    }
    [this.#high, this.#low] = [high, low];
    return this;
  }

  digest() {
    const result = new DataView(new ArrayBuffer(8));
    result.setInt32(0, ~this.#low, true);
    result.setInt32(4, ~this.#high, true);
    return new Uint8Array(result.buffer);
  }
};
