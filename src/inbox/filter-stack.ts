import type { BloomFilter, KeyHash } from './bloom-filter.ts'
import { nextProbe, probes, shiftFor } from './bloom-filter.ts'

/** Filters in one slice: the bits of a byte. */
const lanes = 8
/** Smaller filters are asked one by one: they are few, and a slice takes the room of eight. */
const leastStackedBytes = 65_536

/** Eight filters of one size, turned on their side: bit L of byte N is bit N of the filter in lane L. */
interface Slice {
  readonly cells: Uint8Array
  readonly names: (string | undefined)[]
  readonly shift: number
}

/**
 * Asks many Bloom filters of one size at once: each probe looks at one byte for eight of them, and most keys are denied by
 * all after four or five probes. So an id costs about the same with two generations behind it and with sixteen. (Turned on
 * its side as a bit-sliced signature file is: Faloutsos and Christodoulakis, 1984.)
 *
 * A filter that was added must not change any more.
 */
export class FilterStack {
  readonly #slices: Slice[] = []
  readonly #single = new Map<string, BloomFilter>()
  readonly #names = new Set<string>()

  has(name: string): boolean {
    return this.#names.has(name)
  }

  add(name: string, filter: BloomFilter): void {
    this.delete(name)
    this.#names.add(name)
    const { bits } = filter
    if (bits.length < leastStackedBytes) {
      this.#single.set(name, filter)
      return
    }
    let slice = this.#slices.find(({ cells, names }) => cells.length === bits.length * lanes && names.includes(undefined))
    if (slice === undefined) {
      slice = {
        cells: new Uint8Array(bits.length * lanes),
        names: new Array(lanes).fill(undefined),
        shift: shiftFor(bits.length),
      }
      this.#slices.push(slice)
    }
    const lane = slice.names.indexOf(undefined)
    slice.names[lane] = name
    const { cells } = slice
    for (let at = 0; at < cells.length; at++)
      cells[at] = (cells[at] as number) | ((((bits[at >>> 3] as number) >>> (at & 7)) & 1) << lane)
  }

  delete(name: string): void {
    if (!this.#names.delete(name) || this.#single.delete(name)) return
    const index = this.#slices.findIndex(({ names }) => names.includes(name))
    const slice = this.#slices[index]
    if (slice === undefined) return
    const lane = slice.names.indexOf(name)
    slice.names[lane] = undefined
    if (slice.names.every((other) => other === undefined)) this.#slices.splice(index, 1)
    else {
      const others = ~(1 << lane)
      for (let at = 0; at < slice.cells.length; at++) slice.cells[at] = (slice.cells[at] as number) & others
    }
  }

  /** Lets go of all filters but these. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const name of [...this.#names]) if (!names.has(name)) this.delete(name)
  }

  /** The filters that do not deny the key. */
  mayContain(hash: KeyHash): readonly string[] {
    const found: string[] = []
    for (const { cells, names, shift } of this.#slices) {
      let left = 0xff
      let at = hash.a
      for (let probe = 0; probe < probes && left !== 0; probe++) {
        left &= cells[at >>> shift] as number
        at = nextProbe(at, hash.b, probe)
      }
      for (let lane = 0; left !== 0; lane++, left >>>= 1) if ((left & 1) !== 0) found.push(names[lane] as string)
    }
    for (const [name, filter] of this.#single) if (filter.mightContain(hash)) found.push(name)
    return found
  }
}
