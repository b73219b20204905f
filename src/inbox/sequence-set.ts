import { OnefoldError, optionInvalid } from '../errors.ts'
import { parseJson } from '../parse-json.ts'

/** Received numbers without a hole between them, both ends included. */
export interface SequenceRange {
  readonly first: bigint
  readonly last: bigint
}

export interface SequenceSetOptions {
  /** Whose numbers these are, for the error. */
  readonly source: string
  /** Bound of the separate ranges kept, so of the gaps plus one: 1 or more, default 10,000. */
  readonly maxRanges?: number
}

const defaultMaxRanges = 10_000

/**
 * The sequence numbers received from one source: watermark and gaps, in constant space however many there were.
 *
 * Kept is exactly what was received, as sorted ranges with a hole between any two; nothing is assumed. In particular no
 * number counts as received because a higher one came first: a group that joins late sees 10 before 4, and both are new.
 * So the first number seen opens a range, and a lower one opens another below it. The price: a source whose early numbers
 * this group never gets has no gap there (nobody can say where its numbers begin), and `watermark` is the end of the
 * lowest range, which goes back in the one case that a number below everything received arrives apart from it.
 *
 * Guaranteed for any order of arrival, any repetition, and any saving, restoring or cloning in between: a received number
 * is never reported new again, and a number never received is never reported seen.
 *
 * A producer that skips numbers for good costs one range for each gap it leaves. At `maxRanges` the set refuses to grow
 * rather than forget: `add` throws and the set is unchanged. Numbers that fill or border on a range are still taken.
 *
 * Appending in order is O(1); anything else a binary search, and moving of the ranges above when one is opened or closed.
 */
export class SequenceSet {
  readonly #source: string
  readonly #maxRanges: number
  /** `#firsts[i]` to `#lasts[i]` is a range; sorted, and `#lasts[i] + 1 < #firsts[i + 1]`. */
  readonly #firsts: bigint[]
  readonly #lasts: bigint[]

  private constructor(source: string, maxRanges: number, firsts: bigint[], lasts: bigint[]) {
    this.#source = source
    this.#maxRanges = maxRanges
    this.#firsts = firsts
    this.#lasts = lasts
  }

  /**
   * The set that `toStored` wrote, or an empty one. A set stored with more ranges than `maxRanges` is restored whole.
   *
   * @throws OnefoldError `DATABASE_CORRUPT` when `stored` is not what `toStored` writes; `OPTION_INVALID`.
   */
  static from(stored: string | undefined, { source, maxRanges = defaultMaxRanges }: SequenceSetOptions): SequenceSet {
    if (!(maxRanges >= 1)) throw optionInvalid('maxRanges', maxRanges, 'a number of at least 1')
    const firsts: bigint[] = []
    const lasts: bigint[] = []
    if (stored !== undefined) readRanges(stored, source, firsts, lasts)
    return new SequenceSet(source, maxRanges, firsts, lasts)
  }

  /**
   * Records `sequence` as received and says whether it was new.
   *
   * @throws OnefoldError `GAPS_EXCEEDED`: it would open one range too many; nothing is recorded.
   * @throws OnefoldError `MESSAGE_INVALID`: it is negative.
   */
  add(sequence: bigint): 'new' | 'seen' {
    const firsts = this.#firsts
    const lasts = this.#lasts
    const below = this.#indexAtOrBelow(sequence)
    if (below >= 0 && sequence <= (lasts[below] as bigint)) return 'seen'
    if (sequence < 0n) throw negative(this.#source, sequence)
    const above = below + 1
    const extendsBelow = below >= 0 && (lasts[below] as bigint) + 1n === sequence
    const extendsAbove = above < firsts.length && sequence + 1n === firsts[above]
    if (extendsBelow && extendsAbove) {
      lasts[below] = lasts[above] as bigint
      firsts.splice(above, 1)
      lasts.splice(above, 1)
    } else if (extendsBelow) {
      lasts[below] = sequence
    } else if (extendsAbove) {
      firsts[above] = sequence
    } else {
      if (firsts.length >= this.#maxRanges) throw this.#gapsExceeded(sequence)
      firsts.splice(above, 0, sequence)
      lasts.splice(above, 0, sequence)
    }
    return 'new'
  }

  has(sequence: bigint): boolean {
    const below = this.#indexAtOrBelow(sequence)
    return below >= 0 && sequence <= (this.#lasts[below] as bigint)
  }

  /** The end of the lowest range: up from the lowest number received, all up to here are. Undefined: none received. */
  get watermark(): bigint | undefined {
    return this.#lasts[0]
  }

  /** What was received above the watermark, with a gap below each; ascending. */
  get rangesAboveWatermark(): readonly SequenceRange[] {
    return this.ranges.slice(1)
  }

  /** All that was received, ascending. */
  get ranges(): readonly SequenceRange[] {
    return this.#firsts.map((first, i) => ({ first, last: this.#lasts[i] as bigint }))
  }

  /** An independent copy: change it, and drop it when the transaction rolls back. */
  clone(): SequenceSet {
    return new SequenceSet(this.#source, this.#maxRanges, this.#firsts.slice(), this.#lasts.slice())
  }

  /**
   * JSON: an array of first and last of each range in turn, as numbers, or as strings above 2^53 − 1.
   * `[1,41,43,43]` are 1 to 41, and 43.
   */
  toStored(): string {
    let text = ''
    for (let i = 0; i < this.#firsts.length; i++) {
      text += `${i === 0 ? '' : ','}${stored(this.#firsts[i] as bigint)},${stored(this.#lasts[i] as bigint)}`
    }
    return `[${text}]`
  }

  /** The last range that begins at or below `sequence`; −1 when there is none. */
  #indexAtOrBelow(sequence: bigint): number {
    const firsts = this.#firsts
    let low = 0
    let high = firsts.length
    // Numbers mostly come in order, and then the last range is the one.
    if (high > 0 && (firsts[high - 1] as bigint) <= sequence) return high - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((firsts[middle] as bigint) <= sequence) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  #gapsExceeded(sequence: bigint): OnefoldError {
    const firstMissing = (this.#lasts[0] as bigint) + 1n
    return new OnefoldError(
      'GAPS_EXCEEDED',
      `Sequence ${sequence} of source ${this.#source} was not taken: it would leave one more gap than the ${this.#maxRanges} ranges ` +
        `of received numbers that are kept. Numbers are missing from ${firstMissing} on. Find out whether they are still to come; ` +
        'a producer that skips numbers for good must identify its messages by id instead.',
      {
        details: {
          source: this.#source,
          maxRanges: this.#maxRanges,
          sequence: String(sequence),
          firstMissing: String(firstMissing),
        },
      },
    )
  }
}

function stored(sequence: bigint): string {
  return sequence <= BigInt(Number.MAX_SAFE_INTEGER) ? `${sequence}` : `"${sequence}"`
}

function readRanges(text: string, source: string, firsts: bigint[], lasts: bigint[]): void {
  try {
    const ends: unknown = parseJson(text)
    if (!Array.isArray(ends) || ends.length % 2 !== 0) throw new TypeError('not an array of pairs')
    let after = -1n
    for (let i = 0; i < ends.length; i += 2) {
      const first = toSequence(ends[i])
      const last = toSequence(ends[i + 1])
      // The first range may begin at 0; every other needs a hole below it.
      if (first > last || first < after || first < 0n) throw new RangeError(`range ${i / 2} is out of order`)
      after = last + 2n
      firsts.push(first)
      lasts.push(last)
    }
  } catch (cause) {
    throw new OnefoldError(
      'DATABASE_CORRUPT',
      `The received sequence numbers stored for source ${source} cannot be read: ${(cause as Error).message}.`,
      {
        details: { source },
        cause,
      },
    )
  }
}

function toSequence(end: unknown): bigint {
  if (typeof end === 'number' && Number.isSafeInteger(end)) return BigInt(end)
  if (typeof end === 'string' && /^\d{16,}$/.test(end)) return BigInt(end)
  throw new TypeError('a sequence number is neither a safe integer nor text')
}

function negative(source: string, sequence: bigint): OnefoldError {
  return new OnefoldError('MESSAGE_INVALID', `sequence of a message of source ${source} is ${sequence}; it must be 0 or more.`, {
    details: { field: 'sequence', source },
  })
}
