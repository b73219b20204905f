/**
 * A Bloom filter (Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970) over the keys of a
 * generation of ids that is only read any more: most ids that come are new, and the filter says so without a query.
 *
 * ```
 * byte 0     2, the version of this form
 * byte 1     8, the probes per key
 * byte 2–3   0
 * byte 4–7   CRC-32 of the bits, big-endian
 * byte 8–    the bits, the lowest of a byte first: a power of two of them, 13 to 26 per key
 * ```
 *
 * A power of two, so that filters of about as many keys have the same size and can be asked together (`filter-stack.ts`).
 */
import { crc32 } from 'node:zlib'
import { optionInvalid } from '../errors.ts'

const version = 2
export const probes = 8
const leastBitsPerKey = 12.8
const headerBytes = 8
const leastBits = 64
/** Bits are chosen by 32 bits of hash. */
const maxKeys = Math.floor(2 ** 32 / leastBitsPerKey)

/**
 * Answers whether a key may be in a set, in 1.6 to 3.2 bytes a key.
 *
 * `mightContain` is true for every key that was given to `of`: a key in the set is never denied. For other keys it is
 * true at most 25 times in 10,000, and 6 times at 16 bits a key, also when keys are ordered. Somebody who chooses keys to be
 * taken for others can, and costs a query each.
 */
export class BloomFilter {
  readonly #bytes: Uint8Array
  readonly #bits: Uint8Array

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#bits = bytes.subarray(headerBytes)
  }

  /**
   * The filter of `keys`. `count` is how many there will be, 0 to 335,544,320: it sets the size, and with more keys than
   * that the filter is only less sharp.
   *
   * @throws OnefoldError `OPTION_INVALID` for a `count` out of bounds.
   */
  static of(keys: Iterable<Uint8Array>, count: number): BloomFilter {
    const filter = BloomFilter.#empty(count)
    const hash = new KeyHash()
    for (const key of keys) {
      hash.of(key)
      filter.#add(hash.a, hash.b)
    }
    return filter.#finished()
  }

  /** The same filter of keys that were collected while they came. */
  static ofCollected(keys: CollectedKeys): BloomFilter {
    const filter = BloomFilter.#empty(keys.count)
    const { hashes } = keys
    for (let at = 0; at < 2 * keys.count; at += 2) filter.#add(hashes[at] as number, hashes[at + 1] as number)
    return filter.#finished()
  }

  static #empty(count: number): BloomFilter {
    if (!(Number.isInteger(count) && count >= 0 && count <= maxKeys)) {
      throw optionInvalid('count', count, `a whole number from 0 to ${maxKeys}`)
    }
    let bits = leastBits
    while (bits < count * leastBitsPerKey) bits *= 2
    return new BloomFilter(new Uint8Array(headerBytes + bits / 8))
  }

  #finished(): BloomFilter {
    this.#bytes[0] = version
    this.#bytes[1] = probes
    viewOf(this.#bytes).setUint32(4, crc32(this.#bits))
    return this
  }

  /**
   * The filter that `toBytes` gave, without copying; undefined when the bytes are damaged or of another version. Then
   * build it again from the keys: a filter with a bit lost denies keys it has, and their messages would be applied twice.
   */
  static fromBytes(bytes: Uint8Array): BloomFilter | undefined {
    const size = bytes.length - headerBytes
    if (size < leastBits / 8 || !Number.isInteger(Math.log2(size)) || bytes[0] !== version || bytes[1] !== probes)
      return undefined
    const filter = new BloomFilter(bytes)
    return viewOf(bytes).getUint32(4) === crc32(filter.#bits) ? filter : undefined
  }

  /** Not a copy: not to be changed. */
  get bits(): Uint8Array {
    return this.#bits
  }

  /** The filter as stored, not a copy: not to be changed. */
  toBytes(): Uint8Array {
    return this.#bytes
  }

  /** False: `key` is certainly not among the keys. */
  mightContain(key: Uint8Array | KeyHash): boolean {
    const bits = this.#bits
    const shift = shiftFor(bits.length)
    const { a, b } = key instanceof KeyHash ? key : new KeyHash().of(key)
    let at = a
    for (let probe = 0; probe < probes; probe++) {
      const bit = at >>> shift
      if (((bits[bit >>> 3] as number) & (1 << (bit & 7))) === 0) return false
      at = nextProbe(at, b, probe)
    }
    return true
  }

  #add(a: number, b: number): void {
    const bits = this.#bits
    const shift = shiftFor(bits.length)
    let at = a
    for (let probe = 0; probe < probes; probe++) {
      const bit = at >>> shift
      bits[bit >>> 3] = (bits[bit >>> 3] as number) | (1 << (bit & 7))
      at = nextProbe(at, b, probe)
    }
  }
}

/** How far a 32-bit hash is shifted to choose one of the bits in so many bytes: by its upper bits. */
export function shiftFor(bytes: number): number {
  return Math.clz32(bytes) - 2
}

/** Enhanced double hashing (Dillinger and Manolios, "Bloom Filters in Probabilistic Verification", 2004). */
export function nextProbe(at: number, b: number, probe: number): number {
  return (at + b + probe) | 0
}

/** Keys of a filter that is still to be made: 8 bytes for each are kept, so that nobody has to read the keys again. */
export class CollectedKeys {
  hashes = new Int32Array(128)
  count = 0

  add(hash: KeyHash): void {
    const at = 2 * this.count++
    if (at === this.hashes.length) {
      const grown = new Int32Array(2 * at)
      grown.set(this.hashes)
      this.hashes = grown
    }
    this.hashes[at] = hash.a
    this.hashes[at + 1] = hash.b
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Two 32-bit hashes of a key in one pass: two lanes like that of MurmurHash3, each with its own constants, mixed into
 * each other at the end. Ordered ids differ in a few low bits of one byte, and every bit of both results must feel it.
 * To be used again and again: a new pair would be an allocation for each key.
 */
export class KeyHash {
  a = 0
  b = 0

  of(key: Uint8Array): this {
    const { length } = key
    let a = length
    let b = 0x9747b28c ^ length
    for (let i = 0; i < length; i += 4) {
      // Beyond the end there is undefined, which counts as 0; the length tells such keys apart.
      const block =
        (key[i] as number) | ((key[i + 1] as number) << 8) | ((key[i + 2] as number) << 16) | ((key[i + 3] as number) << 24)
      a ^= Math.imul(rotateLeft(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593)
      a = (Math.imul(rotateLeft(a, 13), 5) + 0xe6546b64) | 0
      b ^= Math.imul(rotateLeft(Math.imul(block, 0x239b961b), 17), 0xab0e9789)
      b = (Math.imul(rotateLeft(b, 19), 5) + 0x561ccd1b) | 0
    }
    a = mix((a + b) | 0)
    b = mix((b + a) | 0)
    this.a = a
    this.b = b
    return this
  }
}

function mix(word: number): number {
  const once = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35)
  return twice ^ (twice >>> 16)
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits))
}
