import type { KeyHash } from '../../inbox/bloom-filter.ts'
import { BloomFilter, CollectedKeys } from '../../inbox/bloom-filter.ts'

interface Collected {
  readonly generation: number
  readonly openedMs: number
  readonly keys: CollectedKeys
  /** Rows of ours that are committed, as the generation's own row counts them. */
  rows: number
  /** Rows of ours that the generation's row counts since BEGIN. */
  uncommitted: number
}

/** More keys than this have been collected in vain: their transactions were rolled back, again and again. */
const mostKeys = 262_144
/** Groups come and go; what is forgotten here is read from the file. */
const mostWindows = 1_000

/**
 * The keys of the newest generations, where this process alone has written to them: so a generation gets its filter in
 * the very commit that seals it, and nobody reads its keys back. Whether it was alone is told by the rows: whoever adds
 * some counts them in the file, so a count that is all ours is of keys that are all ours. Keys that were rolled back stay
 * among the collected ones, and only make the filter less sharp.
 */
export class CollectedGenerations {
  /** By window. */
  readonly #newest = new Map<number, Collected>()

  /** We have made it, and there is nothing in it. */
  opened(window: number, generation: number, openedMs: number): void {
    if (this.#newest.size >= mostWindows) this.#newest.clear()
    this.#newest.set(window, { generation, openedMs, keys: new CollectedKeys(), rows: 0, uncommitted: 0 })
  }

  /** So it is in the file now. The number of what was removed is given again: then it is another one. */
  found(window: number, is: { readonly generation: number; readonly opened_ms: number; readonly rows: number }): void {
    const known = this.#newest.get(window)
    if (known === undefined) return
    const rows = known.rows + known.uncommitted
    if (known.generation !== is.generation || known.openedMs !== is.opened_ms || rows !== is.rows) this.#newest.delete(window)
  }

  /** How many keys are collected: for `undoTo`. */
  mark(window: number): number {
    return this.#newest.get(window)?.keys.count ?? 0
  }

  undoTo(window: number, mark: number): void {
    const known = this.#newest.get(window)
    if (known !== undefined) known.keys.count = mark
  }

  add(window: number, hash: KeyHash): void {
    const known = this.#newest.get(window)
    if (known === undefined) return
    if (known.keys.count < mostKeys) known.keys.add(hash)
    else this.#newest.delete(window)
  }

  /** So many rows of ours have been added to the generation's own count. */
  counted(generation: number, rows: number): void {
    for (const known of this.#newest.values()) if (known.generation === generation) known.uncommitted += rows
  }

  /** The filter of the window's newest generation, which gets no more keys; undefined when others have written to it. */
  sealed(window: number, rows: number): BloomFilter | undefined {
    const known = this.#newest.get(window)
    this.#newest.delete(window)
    return known !== undefined && known.rows + known.uncommitted === rows ? BloomFilter.ofCollected(known.keys) : undefined
  }

  committed(): void {
    for (const known of this.#newest.values()) {
      known.rows += known.uncommitted
      known.uncommitted = 0
    }
  }

  rolledBack(): void {
    for (const known of this.#newest.values()) known.uncommitted = 0
  }
}
