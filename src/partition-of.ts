import { optionInvalid } from './errors.ts'

/**
 * The partition of a key (or of an id, for messages without a key): MurmurHash3 (x86, 32 bit, seed 0) of its UTF-8
 * bytes, as an unsigned number, modulo `partitions`.
 *
 * The same key always gives the same partition, in every process and every version of Onefold: messages already stored
 * lie where this function put them, and the order of a key rests on it. It is not a defence against somebody who chooses
 * keys that meet in one partition.
 *
 * @throws OnefoldError `OPTION_INVALID` when `partitions` is not a whole number of at least 1.
 * @example
 * partitionOf('acc-1042', 8)  // 1
 */
export function partitionOf(keyOrId: string, partitions: number): number {
  if (!(Number.isInteger(partitions) && partitions >= 1))
    throw optionInvalid('partitions', partitions, 'a whole number of at least 1')
  const hash = murmur3(keyOrId, 0x7f) ?? murmur3(Buffer.from(keyOrId, 'utf8').toString('latin1'), 0xff)
  return (hash as number) % partitions
}

/** Where a message of a topic goes: its key decides, and its id where it has none. */
export const partitionOfEnvelope = (envelope: { key?: string | undefined; id: string }, partitions: number): number =>
  partitions === 1 ? 0 : partitionOf(envelope.key ?? envelope.id, partitions)

/**
 * The hash of a text whose character codes are its bytes: ASCII as it stands, any other text as UTF-8 read as Latin-1.
 * Undefined when a code is above `highest`. One pass for the usual key, without making bytes of it first.
 */
function murmur3(text: string, highest: number): number | undefined {
  const { length } = text
  const wholeBlocks = length - (length % 4)
  let hash = 0
  let allCodes = 0
  for (let i = 0; i < wholeBlocks; i += 4) {
    const a = text.charCodeAt(i)
    const b = text.charCodeAt(i + 1)
    const c = text.charCodeAt(i + 2)
    const d = text.charCodeAt(i + 3)
    allCodes |= a | b | c | d
    hash ^= mix(a | (b << 8) | (c << 16) | (d << 24))
    hash = (Math.imul(rotateLeft(hash, 13), 5) + 0xe6546b64) | 0
  }
  let rest = 0
  for (let i = length - 1; i >= wholeBlocks; i--) {
    const code = text.charCodeAt(i)
    allCodes |= code
    rest = (rest << 8) | code
  }
  if (allCodes > highest) return undefined
  hash ^= mix(rest) ^ length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function mix(block: number): number {
  return Math.imul(rotateLeft(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593)
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits))
}
