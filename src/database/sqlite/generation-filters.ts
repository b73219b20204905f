import type { KeyHash } from '../../inbox/bloom-filter.ts'
import { BloomFilter } from '../../inbox/bloom-filter.ts'
import { FilterStack } from '../../inbox/filter-stack.ts'
import type { Statements } from './statements.ts'

export interface GenerationRow {
  readonly generation: number
  readonly opened_ms: number
  readonly sealed_ms: number | null
  readonly rows: number
  readonly hasFilter: number
}

/** The sealed generations of a window that may hold an id. */
export class SealedGenerations {
  readonly #filters: FilterStack
  readonly #filtered: ReadonlyMap<string, number>
  readonly #unfiltered: number[]

  constructor(filters: FilterStack, filtered: ReadonlyMap<string, number>, unfiltered: number[]) {
    this.#filters = filters
    this.#filtered = filtered
    this.#unfiltered = unfiltered
  }

  /** One without a filter, or whose filter is not committed yet. */
  add(generation: number): void {
    this.#unfiltered.push(generation)
  }

  mayContain(hash: KeyHash): readonly number[] {
    const named = this.#filters.mayContain(hash)
    if (named.length === 0) return this.#unfiltered
    return [...named.map((name) => this.#filtered.get(name) as number), ...this.#unfiltered]
  }
}

/** The filters of sealed generations, which never change, read once from the file and kept. */
export class GenerationFilters {
  readonly #statements: Statements
  readonly #stacks = new Map<number, FilterStack>()

  constructor(statements: Statements) {
    this.#statements = statements
  }

  /** Of generations that are gone, the filters are let go. */
  sealed(window: number, sealed: readonly GenerationRow[]): SealedGenerations {
    const filters = this.#stacks.get(window) ?? new FilterStack()
    this.#stacks.set(window, filters)
    const filtered = new Map<string, number>()
    const unfiltered: number[] = []
    for (const { generation, opened_ms, hasFilter } of sealed) {
      // With its opening: the numbers of a removed group's generations come again.
      const name = `${generation}/${opened_ms}`
      if (hasFilter === 1 && !filters.has(name)) {
        const filter = this.#read(generation)
        if (filter !== undefined) filters.add(name, filter)
      }
      if (hasFilter === 1 && filters.has(name)) filtered.set(name, generation)
      else unfiltered.push(generation)
    }
    filters.keepOnly(new Set(filtered.keys()))
    return new SealedGenerations(filters, filtered, unfiltered)
  }

  #read(generation: number): BloomFilter | undefined {
    const row = this.#statements
      .sql('select filter from {p}generation where generation = ?')
      .get<{ filter: Uint8Array | null }>(generation)
    return row?.filter == null ? undefined : BloomFilter.fromBytes(row.filter)
  }
}
